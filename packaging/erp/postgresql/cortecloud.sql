-- What the jobs of Cortecloud (schedules/cortecloud.toml) read and write of an ERP on PostgreSQL:
-- docs/erp-interface.md has each column.

-- Written by the jobs.

create table cadenced_cortecloud_services (
    id bigint primary key,
    status bigint not null,
    status_name text not null,
    erp_action text not null,
    internal_code text not null,
    updated_at text not null,
    gone boolean not null,
    document jsonb not null
);

create table cadenced_cortecloud_panels (
    id bigint primary key,
    description text,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric
);

create table cadenced_cortecloud_tapes (
    id bigint primary key,
    description text,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric
);

create table cadenced_cortecloud_components (
    id bigint primary key,
    description text,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric
);

-- Statuses that nobody has told the schedule about: nothing is done for these services. Name them in the maps of a
-- file of your own.

create view cadenced_cortecloud_unknown_statuses as
select status, count(*) as services from cadenced_cortecloud_services where erp_action = 'unknown' group by status;

-- Read by the jobs: replace these tables by views of the same columns over your own tables. The updates are of
-- materials; their jobs are off.

create table cadenced_cortecloud_orders (
    service_id bigint primary key,
    order_code text not null
);

create table cadenced_cortecloud_panel_updates (
    id bigint primary key,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric
);

create table cadenced_cortecloud_tape_updates (
    id bigint primary key,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric
);

create table cadenced_cortecloud_component_updates (
    id bigint primary key,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric
);
