-- What the jobs of Cortecloud (schedules/cortecloud.toml) read and write of an ERP on MariaDB and MySQL:
-- docs/erp-interface.md has each column.

-- Written by the jobs.

create table cadenced_cortecloud_services (
    id bigint primary key,
    status bigint not null,
    status_name varchar(255) not null,
    erp_action varchar(255) not null,
    internal_code varchar(255) not null,
    updated_at varchar(255) not null,
    gone boolean not null,
    document json not null
);

create table cadenced_cortecloud_panels (
    id bigint primary key,
    description text,
    internal_code varchar(255),
    active boolean,
    price decimal(18,6),
    stock decimal(18,6)
);

create table cadenced_cortecloud_tapes (
    id bigint primary key,
    description text,
    internal_code varchar(255),
    active boolean,
    price decimal(18,6),
    stock decimal(18,6)
);

create table cadenced_cortecloud_components (
    id bigint primary key,
    description text,
    internal_code varchar(255),
    active boolean,
    price decimal(18,6),
    stock decimal(18,6)
);

-- Statuses that nobody has told the schedule about: nothing is done for these services. Name them in the maps of a
-- file of your own.

create view cadenced_cortecloud_unknown_statuses as
select status, count(*) as services from cadenced_cortecloud_services where erp_action = 'unknown' group by status;

-- Read by the jobs: replace these tables by views of the same columns over your own tables. The updates are of
-- materials; their jobs are off.

create table cadenced_cortecloud_orders (
    service_id bigint primary key,
    order_code varchar(255) not null
);

create table cadenced_cortecloud_panel_updates (
    id bigint primary key,
    internal_code varchar(255),
    active boolean,
    price decimal(18,6),
    stock decimal(18,6)
);

create table cadenced_cortecloud_tape_updates (
    id bigint primary key,
    internal_code varchar(255),
    active boolean,
    price decimal(18,6),
    stock decimal(18,6)
);

create table cadenced_cortecloud_component_updates (
    id bigint primary key,
    internal_code varchar(255),
    active boolean,
    price decimal(18,6),
    stock decimal(18,6)
);
