-- The ERP interface of the Cortecloud jobs on MariaDB and MySQL; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- written by cortecloud-services
create table if not exists cadenced_cortecloud_services (
    id bigint not null,
    status bigint not null,
    status_name varchar(255) not null,
    erp_action varchar(255) not null,
    internal_code varchar(255) not null,
    updated_at varchar(255) not null,
    gone boolean not null,
    document json not null,
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- the statuses that the schedule does not name
create or replace view cadenced_cortecloud_unknown_statuses as
select status, count(*) as services from cadenced_cortecloud_services where erp_action = 'unknown' group by status;

-- read by cortecloud-links
create table if not exists cadenced_cortecloud_orders (
    service_id bigint not null,
    order_code varchar(255),
    primary key (service_id)
) engine = InnoDB character set utf8mb4;

-- written by cortecloud-panels, which is off
create table if not exists cadenced_cortecloud_panels (
    id bigint not null,
    description text not null,
    internal_code varchar(255) not null,
    active boolean,
    price decimal(20,6),
    stock decimal(20,6),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- read by cortecloud-panel-stocks, cortecloud-panel-prices and cortecloud-panel-codes, which are off
create table if not exists cadenced_cortecloud_panel_updates (
    id bigint not null,
    internal_code varchar(255),
    active boolean,
    price decimal(20,6),
    stock decimal(20,6),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- written by cortecloud-tapes, which is off
create table if not exists cadenced_cortecloud_tapes (
    id bigint not null,
    description text not null,
    internal_code varchar(255) not null,
    active boolean,
    price decimal(20,6),
    stock decimal(20,6),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- read by cortecloud-tape-stocks, cortecloud-tape-prices and cortecloud-tape-codes, which are off
create table if not exists cadenced_cortecloud_tape_updates (
    id bigint not null,
    internal_code varchar(255),
    active boolean,
    price decimal(20,6),
    stock decimal(20,6),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- written by cortecloud-components, which is off
create table if not exists cadenced_cortecloud_components (
    id bigint not null,
    description text not null,
    internal_code varchar(255) not null,
    active boolean,
    price decimal(20,6),
    stock decimal(20,6),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- read by cortecloud-component-stocks, cortecloud-component-prices and cortecloud-component-codes, which are off
create table if not exists cadenced_cortecloud_component_updates (
    id bigint not null,
    internal_code varchar(255),
    active boolean,
    price decimal(20,6),
    stock decimal(20,6),
    primary key (id)
) engine = InnoDB character set utf8mb4;
