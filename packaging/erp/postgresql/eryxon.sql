-- The ERP interface of the Eryxon jobs on PostgreSQL; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- read by eryxon-cells
create table if not exists cadenced_eryxon_cells (
    external_id text not null,
    name text,
    color text,
    sequence bigint,
    active boolean,
    primary key (external_id)
);

-- read by eryxon-resources
create table if not exists cadenced_eryxon_resources (
    external_id text not null,
    name text,
    type text,
    status text,
    description text,
    identifier text,
    location text,
    active boolean,
    primary key (external_id)
);

-- read by eryxon-jobs, and looked up by eryxon-parts-by-id
create table if not exists cadenced_eryxon_jobs (
    external_id text not null,
    job_number text,
    customer text,
    due_date date,
    priority bigint,
    notes text,
    primary key (external_id)
);

-- read by eryxon-parts or eryxon-parts-by-id, and looked up by eryxon-operations-by-id
create table if not exists cadenced_eryxon_parts (
    external_id text not null,
    job_external_id text,
    part_number text,
    material text,
    quantity bigint,
    notes text,
    primary key (external_id)
);

-- read by eryxon-operations or eryxon-operations-by-id
create table if not exists cadenced_eryxon_operations (
    external_id text not null,
    part_external_id text,
    cell_name text,
    operation_name text,
    sequence bigint,
    estimated_time_minutes bigint,
    notes text,
    primary key (external_id)
);

-- written by eryxon-cell-ids
create table if not exists cadenced_eryxon_cell_ids (
    id text not null,
    name text not null,
    primary key (id)
);
create index if not exists cadenced_eryxon_cell_ids_by on cadenced_eryxon_cell_ids (name);

-- written by eryxon-job-ids
create table if not exists cadenced_eryxon_job_ids (
    id text not null,
    job_number text not null,
    primary key (id)
);
create index if not exists cadenced_eryxon_job_ids_by on cadenced_eryxon_job_ids (job_number);

-- written by eryxon-part-ids
create table if not exists cadenced_eryxon_part_ids (
    id text not null,
    part_number text not null,
    primary key (id)
);
create index if not exists cadenced_eryxon_part_ids_by on cadenced_eryxon_part_ids (part_number);
