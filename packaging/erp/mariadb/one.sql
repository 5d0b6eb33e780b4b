-- The ERP interface of the ONe jobs on MariaDB; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- read by one-invoice-files
create table if not exists cadenced_invoice_files (
    number varchar(120) collate utf8mb4_bin not null,
    file_name varchar(255),
    content longblob,
    path varchar(1000),
    primary key (number)
);

-- read by one-goods-issued-note-files
create table if not exists cadenced_goods_issued_note_files (
    number varchar(120) collate utf8mb4_bin not null,
    file_name varchar(255),
    content longblob,
    path varchar(1000),
    primary key (number)
);
