-- The ERP interface of the Cortecloud jobs on PostgreSQL; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- written by cortecloud-services
create table if not exists cadenced_cortecloud_services (
    id bigint not null,
    status bigint not null,
    status_name text not null,
    erp_action text not null,
    internal_code text not null,
    updated_at text not null,
    gone boolean not null,
    document jsonb not null,
    primary key (id)
);

-- the statuses that the schedule does not name
create or replace view cadenced_cortecloud_unknown_statuses as
select status, count(*) as services from cadenced_cortecloud_services where erp_action = 'unknown' group by status;

-- read by cortecloud-links
create table if not exists cadenced_cortecloud_orders (
    service_id bigint not null,
    order_code text,
    primary key (service_id)
);

-- written by cortecloud-panels, which is off
create table if not exists cadenced_cortecloud_panels (
    id bigint not null,
    description text not null,
    internal_code text not null,
    active boolean,
    price numeric,
    stock numeric,
    primary key (id)
);

-- read by cortecloud-panel-stocks, cortecloud-panel-prices and cortecloud-panel-codes, which are off
create table if not exists cadenced_cortecloud_panel_updates (
    id bigint not null,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric,
    primary key (id)
);

-- written by cortecloud-tapes, which is off
create table if not exists cadenced_cortecloud_tapes (
    id bigint not null,
    description text not null,
    internal_code text not null,
    active boolean,
    price numeric,
    stock numeric,
    primary key (id)
);

-- read by cortecloud-tape-stocks, cortecloud-tape-prices and cortecloud-tape-codes, which are off
create table if not exists cadenced_cortecloud_tape_updates (
    id bigint not null,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric,
    primary key (id)
);

-- written by cortecloud-components, which is off
create table if not exists cadenced_cortecloud_components (
    id bigint not null,
    description text not null,
    internal_code text not null,
    active boolean,
    price numeric,
    stock numeric,
    primary key (id)
);

-- read by cortecloud-component-stocks, cortecloud-component-prices and cortecloud-component-codes, which are off
create table if not exists cadenced_cortecloud_component_updates (
    id bigint not null,
    internal_code text,
    active boolean,
    price numeric,
    stock numeric,
    primary key (id)
);
