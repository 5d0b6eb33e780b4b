-- What the jobs of Cortecloud (schedules/cortecloud.toml) read and write of an ERP on SQLite: docs/erp-interface.md
-- has each column. SQLite's own decimals are floats, so decimals are texts; dates are texts such as 2026-11-20, and
-- flags 0 or 1.

-- Written by the jobs.

create table cadenced_cortecloud_services (
    id integer primary key,
    status integer not null,
    status_name text not null,
    erp_action text not null,
    internal_code text not null,
    updated_at text not null,
    gone integer not null,
    document text not null
);

create table cadenced_cortecloud_panels (
    id integer primary key,
    description text,
    internal_code text,
    active integer,
    price text,
    stock text
);

create table cadenced_cortecloud_tapes (
    id integer primary key,
    description text,
    internal_code text,
    active integer,
    price text,
    stock text
);

create table cadenced_cortecloud_components (
    id integer primary key,
    description text,
    internal_code text,
    active integer,
    price text,
    stock text
);

-- Statuses that nobody has told the schedule about: nothing is done for these services. Name them in the maps of a
-- file of your own.

create view cadenced_cortecloud_unknown_statuses as
select status, count(*) as services from cadenced_cortecloud_services where erp_action = 'unknown' group by status;

-- Read by the jobs: replace these tables by views of the same columns over your own tables. The updates are of
-- materials; their jobs are off.

create table cadenced_cortecloud_orders (
    service_id integer primary key,
    order_code text not null
);

create table cadenced_cortecloud_panel_updates (
    id integer primary key,
    internal_code text,
    active integer,
    price text,
    stock text
);

create table cadenced_cortecloud_tape_updates (
    id integer primary key,
    internal_code text,
    active integer,
    price text,
    stock text
);

create table cadenced_cortecloud_component_updates (
    id integer primary key,
    internal_code text,
    active integer,
    price text,
    stock text
);
