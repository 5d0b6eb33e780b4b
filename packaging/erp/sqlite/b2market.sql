-- The ERP interface of the B2Market jobs on SQLite; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.
--
-- SQLite's own decimals are floats, so decimals are texts.

-- written by b2market-orders, b2market-order-sweep
create table if not exists b2market_orders (
    id text not null,
    id_remote text,
    reference text,
    num_order text,
    company text,
    client text,
    agent text,
    status text,
    season text,
    shipping_address text,
    billing_address text,
    discount text,
    lines text,
    date_order text,
    date_modified text,
    date_delivery text,
    observation text,
    gross_amount text,
    base_amount text,
    shipping_amount text,
    tax_amount text,
    taxrec_amount text,
    total_amount text,
    total_quantity text,
    quantity_served text,
    quantity_pending text,
    shipper text,
    origin text,
    is_sale integer,
    active integer,
    created_by text,
    updated_by text,
    created_at text,
    updated_at text,
    primary key (id)
);

-- written by b2market-order-statuses
create table if not exists cadenced_b2market_order_statuses (
    id text not null,
    value text,
    primary key (id)
);

-- written by b2market-line-statuses
create table if not exists cadenced_b2market_line_statuses (
    id text not null,
    value text,
    primary key (id)
);

-- written by b2market-companies
create table if not exists cadenced_b2market_companies (
    id text not null,
    id_remote text,
    company_name text,
    tin text,
    primary key (id)
);

-- written by b2market-partners
create table if not exists cadenced_b2market_partners (
    id text not null,
    id_remote text,
    role text,
    company text,
    locations text,
    primary key (id)
);

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_orders (
    number text not null,
    company text,
    client text,
    agent text,
    season text,
    status text,
    shipping_address text,
    billing_address text,
    order_date text,
    observation text,
    primary key (number)
);

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_lines (
    number text not null,
    line_no integer not null,
    status text,
    quantity text,
    observations text,
    primary key (number, line_no)
);

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_details (
    number text not null,
    line_no integer not null,
    detail_no integer not null,
    product text,
    quantity text,
    price text,
    retail_price text,
    primary key (number, line_no, detail_no)
);

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_discounts (
    number text not null,
    discount_no integer not null,
    discount_type text,
    discount text,
    primary key (number, discount_no)
);
