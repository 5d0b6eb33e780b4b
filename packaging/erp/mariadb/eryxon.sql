-- What the jobs of Eryxon (schedules/eryxon.toml) read and write of an ERP on MariaDB and MySQL:
-- docs/erp-interface.md has each column.

-- Read by the jobs: replace these tables by views of the same columns over your own tables.

create table cadenced_eryxon_cells (
    external_id varchar(191) primary key,
    name varchar(191) not null,
    color varchar(255),
    sequence bigint not null,
    active boolean
);

create table cadenced_eryxon_resources (
    external_id varchar(191) primary key,
    name varchar(191) not null,
    type varchar(255) not null,
    status varchar(255),
    description text,
    identifier varchar(255),
    location varchar(255),
    active boolean
);

create table cadenced_eryxon_jobs (
    external_id varchar(191) primary key,
    job_number varchar(191) not null,
    customer varchar(255),
    due_date date,
    priority bigint,
    notes text
);

create table cadenced_eryxon_parts (
    external_id varchar(191) primary key,
    job_external_id varchar(191) not null,
    part_number varchar(191) not null,
    material varchar(255),
    quantity bigint not null,
    notes text
);

create table cadenced_eryxon_operations (
    external_id varchar(191) primary key,
    part_external_id varchar(191) not null,
    cell_name varchar(191) not null,
    operation_name varchar(255) not null,
    sequence bigint not null,
    estimated_time_minutes bigint,
    notes text
);

-- Written by the jobs for newer servers: the ids that records have there.

create table cadenced_eryxon_cell_ids (
    id varchar(191) primary key,
    name varchar(191) not null
);
create index cadenced_eryxon_cell_ids_by on cadenced_eryxon_cell_ids (name);

create table cadenced_eryxon_job_ids (
    id varchar(191) primary key,
    job_number varchar(191) not null
);
create index cadenced_eryxon_job_ids_by on cadenced_eryxon_job_ids (job_number);

create table cadenced_eryxon_part_ids (
    id varchar(191) primary key,
    part_number varchar(191) not null
);
create index cadenced_eryxon_part_ids_by on cadenced_eryxon_part_ids (part_number);
