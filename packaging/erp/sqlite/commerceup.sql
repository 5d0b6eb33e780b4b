-- What the jobs of schedules/commerceup.toml need of an ERP on SQLite, column by column in docs/erp-interface.md. Replace what
-- is read by views over the ERP's own tables. SQLite's own decimals are floats, so decimals are texts.

-- Read.
create table if not exists cadenced_commerceup_stocks (sku text primary key, quantity integer not null);

create table if not exists cadenced_commerceup_products (sku text primary key, remote_id integer not null);

create table if not exists cadenced_commerceup_movements (movement text primary key, sku text not null, quantity integer not null);

-- Written.
create table if not exists cadenced_commerceup_customers (
    id integer primary key autoincrement, shop_id text not null unique, email text not null, first_name text not null,
    last_name text not null, phone text not null, body text not null, created_at text not null default current_timestamp
);

create table if not exists cadenced_commerceup_orders (
    id integer primary key autoincrement, shop_id text not null unique, customer_id text not null, currency text not null,
    total text not null, items text not null, body text not null, status text not null default 'New',
    created_at text not null default current_timestamp
);

create table if not exists cadenced_commerceup_cancellations (
    id integer primary key autoincrement, order_id text not null, sku text not null, quantity text not null,
    created_at text not null default current_timestamp
);

-- Asked while the shop waits.
create view if not exists cadenced_commerceup_known_customers as
    select cast(id as text) as id from cadenced_commerceup_customers;

create view if not exists cadenced_commerceup_open_orders as
    select cast(id as text) as id from cadenced_commerceup_orders where status in ('New', 'In Process');

-- Read: the orders that have a status to tell the shop.
create view if not exists cadenced_commerceup_order_statuses as
    select shop_id as order_id, status, items from cadenced_commerceup_orders where status <> 'New';
