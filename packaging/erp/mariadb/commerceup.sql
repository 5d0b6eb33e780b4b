-- What the jobs of schedules/commerceup.toml need of an ERP on MariaDB (10.5 or newer), column by column in
-- docs/erp-interface.md. Replace what is read by views over the ERP's own tables.

-- Read.
create table if not exists cadenced_commerceup_stocks (
    sku varchar(100) collate utf8mb4_bin primary key, quantity bigint not null
) engine = InnoDB character set utf8mb4;

create table if not exists cadenced_commerceup_products (
    sku varchar(100) collate utf8mb4_bin primary key, remote_id bigint not null
) engine = InnoDB character set utf8mb4;

create table if not exists cadenced_commerceup_movements (
    movement varchar(100) collate utf8mb4_bin primary key, sku varchar(100) not null, quantity bigint not null
) engine = InnoDB character set utf8mb4;

-- Written.
create table if not exists cadenced_commerceup_customers (
    id bigint auto_increment primary key, shop_id varchar(100) collate utf8mb4_bin not null unique,
    email varchar(255) not null, first_name varchar(255) not null, last_name varchar(255) not null,
    phone varchar(100) not null, body json not null, created_at datetime not null default current_timestamp
) engine = InnoDB character set utf8mb4;

create table if not exists cadenced_commerceup_orders (
    id bigint auto_increment primary key, shop_id varchar(100) collate utf8mb4_bin not null unique,
    customer_id varchar(100) not null, currency varchar(3) not null, total decimal(14, 2) not null, items json not null,
    body json not null, status varchar(40) not null default 'New', created_at datetime not null default current_timestamp
) engine = InnoDB character set utf8mb4;

create table if not exists cadenced_commerceup_cancellations (
    id bigint auto_increment primary key, order_id varchar(100) not null, sku varchar(100) not null,
    quantity decimal(14, 3) not null, created_at datetime not null default current_timestamp
) engine = InnoDB character set utf8mb4;

-- Asked while the shop waits.
create view if not exists cadenced_commerceup_known_customers as
    select cast(id as char(20)) as id from cadenced_commerceup_customers;

create view if not exists cadenced_commerceup_open_orders as
    select cast(id as char(20)) as id from cadenced_commerceup_orders where status in ('New', 'In Process');

-- Read: the orders that have a status to tell the shop.
create view if not exists cadenced_commerceup_order_statuses as
    select shop_id as order_id, status, items from cadenced_commerceup_orders where status <> 'New';
