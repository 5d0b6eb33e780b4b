-- The ERP interface of the ONe jobs on SQLite; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.
--
-- SQLite's own decimals are floats, so decimals are texts.

-- read by one-warehouses
create table if not exists cadenced_warehouses (
    id text not null,
    type text,
    name text,
    label text,
    parent text,
    pickup_point integer,
    reservation integer,
    reservation_time integer,
    supported integer,
    shipping_time integer,
    company_name text,
    street text,
    house_number text,
    zip text,
    city text,
    country text,
    phone text,
    primary key (id)
);

-- read by one-stocks
create table if not exists cadenced_stocks (
    warehouse text not null,
    sku text not null,
    quantity text,
    primary key (warehouse, sku)
);

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

-- read by one-retail-prices
create table if not exists cadenced_retail_prices (
    sku text not null,
    price text,
    primary key (sku)
);

-- read by one-b2b-prices, one-price-list-clients, one-unused-price-lists
create table if not exists cadenced_price_lists (
    code text not null,
    pricing_id text,
    is_main integer,
    primary key (code)
);

-- read by one-b2b-prices
create table if not exists cadenced_prices (
    price_list text not null,
    sku text not null,
    price text,
    primary key (price_list, sku)
);

-- read by one-price-list-clients, one-unused-price-lists
create table if not exists cadenced_client_price_lists (
    client text not null,
    price_list text not null,
    added_on text,
    primary key (client, price_list)
);

-- read by one-invoices, one-invoice-statuses
create table if not exists cadenced_invoices (
    number text not null,
    client text,
    client_type text,
    tin text,
    sale_date text,
    payment_date text,
    currency text,
    is_paid integer,
    amount_paid text,
    split_payment integer,
    receipt_number text,
    purchase_numbers text,
    notes text,
    name text,
    street text,
    zip text,
    city text,
    country text,
    net text,
    tax text,
    gross text,
    primary key (number)
);

-- read by one-invoices
create table if not exists cadenced_invoice_lines (
    number text not null,
    line_no integer not null,
    sku text,
    name text,
    unit text,
    quantity text,
    tax_rate text,
    net text,
    tax text,
    gross text,
    primary key (number, line_no)
);

-- read by one-invoice-files
create table if not exists cadenced_invoice_files (
    number text not null,
    file_name text,
    content blob,
    path text,
    primary key (number)
);

-- read by one-goods-issued-notes
create table if not exists cadenced_goods_issued_notes (
    number text not null,
    client text,
    document_date text,
    sale_date text,
    delivery_date text,
    purchase_order_number text,
    notes text,
    warehouse text,
    delivery_name text,
    delivery_street text,
    delivery_zip text,
    delivery_city text,
    delivery_country text,
    net text,
    tax text,
    gross text,
    primary key (number)
);

-- read by one-goods-issued-notes
create table if not exists cadenced_goods_issued_note_lines (
    number text not null,
    line_no integer not null,
    sku text,
    name text,
    unit text,
    quantity text,
    order_reference text,
    order_line integer,
    primary key (number, line_no)
);

-- read by one-goods-issued-note-files
create table if not exists cadenced_goods_issued_note_files (
    number text not null,
    file_name text,
    content blob,
    path text,
    primary key (number)
);

-- read by one-order-status
create table if not exists cadenced_order_statuses (
    shipment text not null,
    status text,
    primary key (shipment)
);

-- read by one-offline-orders
create table if not exists cadenced_offline_orders (
    shipment text not null,
    order_no text,
    client text,
    payment_method text,
    delivery_net text,
    products_net text,
    total_net text,
    total_tax text,
    total_gross text,
    notes text,
    primary key (shipment)
);

-- read by one-offline-orders
create table if not exists cadenced_offline_order_lines (
    shipment text not null,
    line_no integer not null,
    sku text,
    name text,
    unit text,
    quantity text,
    quantity_shipped text,
    primary key (shipment, line_no)
);

-- written by one-client-pull
create table if not exists cadenced_one_clients (
    client_id text not null,
    external_id text,
    account_type text,
    name text,
    tin text,
    business_registration_number text,
    address_name text,
    address_street text,
    address_zip text,
    address_city text,
    address_country text,
    address_phone text,
    admin_email text,
    admin_name text,
    admin_phone text,
    removed integer,
    document text,
    primary key (client_id)
);

-- written by one-client-ids
create table if not exists cadenced_one_client_ids (
    client_id text not null,
    external_id text,
    primary key (client_id)
);

-- written by one-orders
create table if not exists cadenced_orders (
    shipment_id text not null,
    order_id text,
    purchase_number text,
    coupon_code text,
    lines text,
    removed integer,
    document text,
    primary key (shipment_id)
);
