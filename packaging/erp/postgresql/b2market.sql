-- The ERP interface of the B2Market jobs on PostgreSQL; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- written by b2market-orders, b2market-order-sweep
create table if not exists b2market_orders (
    id text not null,
    id_remote text,
    reference text,
    num_order text,
    company jsonb,
    client jsonb,
    agent text,
    status text,
    season jsonb,
    shipping_address text,
    billing_address text,
    discount jsonb,
    lines jsonb,
    date_order timestamp,
    date_modified timestamp,
    date_delivery timestamp,
    observation text,
    gross_amount numeric(14, 2),
    base_amount numeric(14, 2),
    shipping_amount numeric(14, 2),
    tax_amount numeric(14, 2),
    taxrec_amount numeric(14, 2),
    total_amount numeric(14, 2),
    total_quantity numeric(14, 3),
    quantity_served numeric(14, 3),
    quantity_pending numeric(14, 3),
    shipper text,
    origin text,
    is_sale boolean,
    active boolean,
    created_by jsonb,
    updated_by jsonb,
    created_at timestamp,
    updated_at timestamp,
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
    locations jsonb,
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
    quantity numeric,
    observations text,
    primary key (number, line_no)
);

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_details (
    number text not null,
    line_no integer not null,
    detail_no integer not null,
    product text,
    quantity numeric,
    price numeric,
    retail_price numeric,
    primary key (number, line_no, detail_no)
);

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_discounts (
    number text not null,
    discount_no integer not null,
    discount_type text,
    discount numeric,
    primary key (number, discount_no)
);
