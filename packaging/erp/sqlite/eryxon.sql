-- What the jobs of Eryxon (schedules/eryxon.toml) read and write of an ERP on SQLite: docs/erp-interface.md has each
-- column. SQLite's own decimals are floats, so decimals are texts; dates are texts such as 2026-11-20, and flags 0 or
-- 1.

-- Read by the jobs: replace these tables by views of the same columns over your own tables.

create table cadenced_eryxon_cells (
    external_id text primary key,
    name text not null,
    color text,
    sequence integer not null,
    active integer
);

create table cadenced_eryxon_resources (
    external_id text primary key,
    name text not null,
    type text not null,
    status text,
    description text,
    identifier text,
    location text,
    active integer
);

create table cadenced_eryxon_jobs (
    external_id text primary key,
    job_number text not null,
    customer text,
    due_date text,
    priority integer,
    notes text
);

create table cadenced_eryxon_parts (
    external_id text primary key,
    job_external_id text not null,
    part_number text not null,
    material text,
    quantity integer not null,
    notes text
);

create table cadenced_eryxon_operations (
    external_id text primary key,
    part_external_id text not null,
    cell_name text not null,
    operation_name text not null,
    sequence integer not null,
    estimated_time_minutes integer,
    notes text
);

-- Written by the jobs for newer servers: the ids that records have there.

create table cadenced_eryxon_cell_ids (
    id text primary key,
    name text not null
);
create index cadenced_eryxon_cell_ids_by on cadenced_eryxon_cell_ids (name);

create table cadenced_eryxon_job_ids (
    id text primary key,
    job_number text not null
);
create index cadenced_eryxon_job_ids_by on cadenced_eryxon_job_ids (job_number);

create table cadenced_eryxon_part_ids (
    id text primary key,
    part_number text not null
);
create index cadenced_eryxon_part_ids_by on cadenced_eryxon_part_ids (part_number);
