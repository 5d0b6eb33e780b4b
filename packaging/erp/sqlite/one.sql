-- The ERP interface of the ONe jobs on SQLite; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again.
--
-- SQLite's own decimals are floats, so decimals are texts.

-- read by one-client-add, one-client-update
create table if not exists cadenced_segments (
    code text not null,
    name text,
    parent text,
    level integer,
    primary key (code)
);

-- read by one-client-add, one-client-update
create table if not exists cadenced_clients (
    code text not null,
    account_type text,
    name text,
    tin text,
    segment text,
    client_status text,
    account_manager_id text,
    business_registration_number text,
    address_name text,
    street text,
    zip text,
    city text,
    country text,
    phone text,
    address_code text,
    admin_email text,
    admin_name text,
    admin_phone text,
    primary key (code)
);

-- read by one-client-add, one-client-update
create table if not exists cadenced_trade_credits (
    client text not null,
    credit_value text,
    credit_value_used text,
    available_credit_value text,
    payment_days integer,
    primary key (client)
);

-- read by one-client-add, one-client-update
create table if not exists cadenced_blockades (
    client text not null,
    type text,
    code text,
    primary key (client)
);
