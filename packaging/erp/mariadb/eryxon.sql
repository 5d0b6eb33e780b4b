-- The ERP interface of the Eryxon jobs on MariaDB and MySQL; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- read by eryxon-cells
create table if not exists cadenced_eryxon_cells (
    external_id varchar(120) collate utf8mb4_bin not null,
    name varchar(255),
    color varchar(255),
    sequence bigint,
    active boolean,
    primary key (external_id)
) engine = InnoDB character set utf8mb4;

-- read by eryxon-resources
create table if not exists cadenced_eryxon_resources (
    external_id varchar(120) collate utf8mb4_bin not null,
    name varchar(255),
    type varchar(255),
    status varchar(255),
    description text,
    identifier varchar(255),
    location varchar(255),
    active boolean,
    primary key (external_id)
) engine = InnoDB character set utf8mb4;

-- read by eryxon-jobs, and looked up by eryxon-parts-by-id
create table if not exists cadenced_eryxon_jobs (
    external_id varchar(120) collate utf8mb4_bin not null,
    job_number varchar(255),
    customer varchar(255),
    due_date date,
    priority bigint,
    notes text,
    primary key (external_id)
) engine = InnoDB character set utf8mb4;

-- read by eryxon-parts or eryxon-parts-by-id, and looked up by eryxon-operations-by-id
create table if not exists cadenced_eryxon_parts (
    external_id varchar(120) collate utf8mb4_bin not null,
    job_external_id varchar(255),
    part_number varchar(255),
    material varchar(255),
    quantity bigint,
    notes text,
    primary key (external_id)
) engine = InnoDB character set utf8mb4;

-- read by eryxon-operations or eryxon-operations-by-id
create table if not exists cadenced_eryxon_operations (
    external_id varchar(120) collate utf8mb4_bin not null,
    part_external_id varchar(255),
    cell_name varchar(255),
    operation_name varchar(255),
    sequence bigint,
    estimated_time_minutes bigint,
    notes text,
    primary key (external_id)
) engine = InnoDB character set utf8mb4;

-- written by eryxon-cell-ids
create table if not exists cadenced_eryxon_cell_ids (
    id varchar(120) collate utf8mb4_bin not null,
    name varchar(120) collate utf8mb4_bin not null,
    primary key (id),
    index cadenced_eryxon_cell_ids_by (name)
) engine = InnoDB character set utf8mb4;

-- written by eryxon-job-ids
create table if not exists cadenced_eryxon_job_ids (
    id varchar(120) collate utf8mb4_bin not null,
    job_number varchar(120) collate utf8mb4_bin not null,
    primary key (id),
    index cadenced_eryxon_job_ids_by (job_number)
) engine = InnoDB character set utf8mb4;

-- written by eryxon-part-ids
create table if not exists cadenced_eryxon_part_ids (
    id varchar(120) collate utf8mb4_bin not null,
    part_number varchar(120) collate utf8mb4_bin not null,
    primary key (id),
    index cadenced_eryxon_part_ids_by (part_number)
) engine = InnoDB character set utf8mb4;
