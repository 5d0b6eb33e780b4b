-- What the jobs of schedules/commerceup.toml need of an ERP on PostgreSQL, column by column in docs/erp-interface.md. Replace
-- what is read by views over the ERP's own tables.

-- Read.
create table if not exists cadenced_commerceup_stocks (sku text primary key, quantity bigint not null);

create table if not exists cadenced_commerceup_products (sku text primary key, remote_id bigint not null);

create table if not exists cadenced_commerceup_movements (movement text primary key, sku text not null, quantity bigint not null);

-- Written.
create table if not exists cadenced_commerceup_customers (
    id bigint generated always as identity primary key, shop_id text not null unique, email text not null,
    first_name text not null, last_name text not null, phone text not null, body jsonb not null,
    created_at timestamptz not null default now()
);

create table if not exists cadenced_commerceup_orders (
    id bigint generated always as identity primary key, shop_id text not null unique, customer_id text not null,
    currency text not null, total numeric(14, 2) not null, items jsonb not null, body jsonb not null,
    status text not null default 'New', created_at timestamptz not null default now()
);

create table if not exists cadenced_commerceup_cancellations (
    id bigint generated always as identity primary key, order_id text not null, sku text not null,
    quantity numeric(14, 3) not null, created_at timestamptz not null default now()
);

-- Asked while the shop waits.
do $$ begin
    if to_regclass('cadenced_commerceup_known_customers') is null then
        create view cadenced_commerceup_known_customers as
        select id::text as id from cadenced_commerceup_customers;
    end if;
end $$;

do $$ begin
    if to_regclass('cadenced_commerceup_open_orders') is null then
        create view cadenced_commerceup_open_orders as
        select id::text as id from cadenced_commerceup_orders where status in ('New', 'In Process');
    end if;
end $$;

-- Read: the orders that have a status to tell the shop.
do $$ begin
    if to_regclass('cadenced_commerceup_order_statuses') is null then
        create view cadenced_commerceup_order_statuses as
        select shop_id as order_id, status, items from cadenced_commerceup_orders where status <> 'New';
    end if;
end $$;
