-- The ERP interface of the Cortecloud jobs on SQLite; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.
--
-- SQLite's own decimals are floats, so decimals are texts.

-- written by cortecloud-services
create table if not exists cadenced_cortecloud_services (
    id integer not null,
    status integer not null,
    status_name text not null,
    erp_action text not null,
    internal_code text not null,
    updated_at text not null,
    gone integer not null,
    document text not null,
    primary key (id)
);

-- the statuses that the schedule does not name
create view if not exists cadenced_cortecloud_unknown_statuses as
select status, count(*) as services from cadenced_cortecloud_services where erp_action = 'unknown' group by status;

-- read by cortecloud-links
create table if not exists cadenced_cortecloud_orders (
    service_id integer not null,
    order_code text,
    primary key (service_id)
);

-- written by cortecloud-panels, which is off
create table if not exists cadenced_cortecloud_panels (
    id integer not null,
    description text not null,
    internal_code text not null,
    active integer,
    price text,
    stock text,
    primary key (id)
);

-- read by cortecloud-panel-stocks, cortecloud-panel-prices and cortecloud-panel-codes, which are off
create table if not exists cadenced_cortecloud_panel_updates (
    id integer not null,
    internal_code text,
    active integer,
    price text,
    stock text,
    primary key (id)
);

-- written by cortecloud-tapes, which is off
create table if not exists cadenced_cortecloud_tapes (
    id integer not null,
    description text not null,
    internal_code text not null,
    active integer,
    price text,
    stock text,
    primary key (id)
);

-- read by cortecloud-tape-stocks, cortecloud-tape-prices and cortecloud-tape-codes, which are off
create table if not exists cadenced_cortecloud_tape_updates (
    id integer not null,
    internal_code text,
    active integer,
    price text,
    stock text,
    primary key (id)
);

-- written by cortecloud-components, which is off
create table if not exists cadenced_cortecloud_components (
    id integer not null,
    description text not null,
    internal_code text not null,
    active integer,
    price text,
    stock text,
    primary key (id)
);

-- read by cortecloud-component-stocks, cortecloud-component-prices and cortecloud-component-codes, which are off
create table if not exists cadenced_cortecloud_component_updates (
    id integer not null,
    internal_code text,
    active integer,
    price text,
    stock text,
    primary key (id)
);
