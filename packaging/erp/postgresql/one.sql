-- The ERP interface of the ONe jobs on PostgreSQL; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- read by one-invoice-files
create table if not exists cadenced_invoice_files (
    number text not null,
    file_name text,
    content bytea,
    path text,
    primary key (number)
);

-- read by one-goods-issued-note-files
create table if not exists cadenced_goods_issued_note_files (
    number text not null,
    file_name text,
    content bytea,
    path text,
    primary key (number)
);
