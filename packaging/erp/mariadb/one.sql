-- The ERP interface of the ONe jobs on MariaDB; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- read by one-warehouses
create table if not exists cadenced_warehouses (
    id varchar(120) collate utf8mb4_bin not null,
    type varchar(255),
    name varchar(255),
    label varchar(255),
    parent varchar(120) collate utf8mb4_bin,
    pickup_point boolean,
    reservation boolean,
    reservation_time integer,
    supported boolean,
    shipping_time integer,
    company_name varchar(255),
    street varchar(255),
    house_number varchar(255),
    zip varchar(255),
    city varchar(255),
    country varchar(255),
    phone varchar(255),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- read by one-stocks
create table if not exists cadenced_stocks (
    warehouse varchar(120) collate utf8mb4_bin not null,
    sku varchar(120) collate utf8mb4_bin not null,
    quantity decimal(18, 4),
    primary key (warehouse, sku)
) engine = InnoDB character set utf8mb4;

-- read by one-client-add, one-client-update
create table if not exists cadenced_segments (
    code varchar(120) collate utf8mb4_bin not null,
    name varchar(255),
    parent varchar(120) collate utf8mb4_bin,
    level integer,
    primary key (code)
) engine = InnoDB character set utf8mb4;

-- read by one-client-add, one-client-update
create table if not exists cadenced_clients (
    code varchar(120) collate utf8mb4_bin not null,
    account_type varchar(255),
    name varchar(255),
    tin varchar(255),
    segment varchar(120) collate utf8mb4_bin,
    client_status varchar(255),
    account_manager_id varchar(255),
    business_registration_number varchar(255),
    address_name varchar(255),
    street varchar(255),
    zip varchar(255),
    city varchar(255),
    country varchar(255),
    phone varchar(255),
    address_code varchar(255),
    admin_email varchar(255),
    admin_name varchar(255),
    admin_phone varchar(255),
    primary key (code)
) engine = InnoDB character set utf8mb4;

-- read by one-client-add, one-client-update
create table if not exists cadenced_trade_credits (
    client varchar(120) collate utf8mb4_bin not null,
    credit_value decimal(18, 4),
    credit_value_used decimal(18, 4),
    available_credit_value decimal(18, 4),
    payment_days integer,
    primary key (client)
) engine = InnoDB character set utf8mb4;

-- read by one-client-add, one-client-update
create table if not exists cadenced_blockades (
    client varchar(120) collate utf8mb4_bin not null,
    type varchar(255),
    code varchar(255),
    primary key (client)
) engine = InnoDB character set utf8mb4;

-- read by one-retail-prices
create table if not exists cadenced_retail_prices (
    sku varchar(120) collate utf8mb4_bin not null,
    price decimal(18, 4),
    primary key (sku)
) engine = InnoDB character set utf8mb4;

-- read by one-b2b-prices, one-price-list-clients, one-unused-price-lists
create table if not exists cadenced_price_lists (
    code varchar(120) collate utf8mb4_bin not null,
    pricing_id varchar(120) collate utf8mb4_bin,
    is_main boolean,
    primary key (code)
) engine = InnoDB character set utf8mb4;

-- read by one-b2b-prices
create table if not exists cadenced_prices (
    price_list varchar(120) collate utf8mb4_bin not null,
    sku varchar(120) collate utf8mb4_bin not null,
    price decimal(18, 4),
    primary key (price_list, sku)
) engine = InnoDB character set utf8mb4;

-- read by one-price-list-clients, one-unused-price-lists
create table if not exists cadenced_client_price_lists (
    client varchar(120) collate utf8mb4_bin not null,
    price_list varchar(120) collate utf8mb4_bin not null,
    added_on date,
    primary key (client, price_list)
) engine = InnoDB character set utf8mb4;

-- read by one-invoices, one-invoice-statuses
create table if not exists cadenced_invoices (
    number varchar(120) collate utf8mb4_bin not null,
    client varchar(120) collate utf8mb4_bin,
    client_type varchar(255),
    tin varchar(255),
    sale_date date,
    payment_date date,
    currency varchar(255),
    is_paid boolean,
    amount_paid decimal(18, 4),
    split_payment boolean,
    receipt_number varchar(255),
    purchase_numbers text,
    notes text,
    name varchar(255),
    street varchar(255),
    zip varchar(255),
    city varchar(255),
    country varchar(255),
    net decimal(18, 4),
    tax decimal(18, 4),
    gross decimal(18, 4),
    primary key (number)
) engine = InnoDB character set utf8mb4;

-- read by one-invoices
create table if not exists cadenced_invoice_lines (
    number varchar(120) collate utf8mb4_bin not null,
    line_no integer not null,
    sku varchar(120) collate utf8mb4_bin,
    name varchar(255),
    unit varchar(255),
    quantity decimal(18, 4),
    tax_rate decimal(18, 4),
    net decimal(18, 4),
    tax decimal(18, 4),
    gross decimal(18, 4),
    primary key (number, line_no)
) engine = InnoDB character set utf8mb4;

-- read by one-invoice-files
create table if not exists cadenced_invoice_files (
    number varchar(120) collate utf8mb4_bin not null,
    file_name varchar(255),
    content longblob,
    path text,
    primary key (number)
) engine = InnoDB character set utf8mb4;

-- read by one-goods-issued-notes
create table if not exists cadenced_goods_issued_notes (
    number varchar(120) collate utf8mb4_bin not null,
    client varchar(120) collate utf8mb4_bin,
    document_date date,
    sale_date date,
    delivery_date date,
    purchase_order_number varchar(255),
    notes text,
    warehouse varchar(120) collate utf8mb4_bin,
    delivery_name varchar(255),
    delivery_street varchar(255),
    delivery_zip varchar(255),
    delivery_city varchar(255),
    delivery_country varchar(255),
    net decimal(18, 4),
    tax decimal(18, 4),
    gross decimal(18, 4),
    primary key (number)
) engine = InnoDB character set utf8mb4;

-- read by one-goods-issued-notes
create table if not exists cadenced_goods_issued_note_lines (
    number varchar(120) collate utf8mb4_bin not null,
    line_no integer not null,
    sku varchar(120) collate utf8mb4_bin,
    name varchar(255),
    unit varchar(255),
    quantity decimal(18, 4),
    order_reference varchar(255),
    order_line integer,
    primary key (number, line_no)
) engine = InnoDB character set utf8mb4;

-- read by one-goods-issued-note-files
create table if not exists cadenced_goods_issued_note_files (
    number varchar(120) collate utf8mb4_bin not null,
    file_name varchar(255),
    content longblob,
    path text,
    primary key (number)
) engine = InnoDB character set utf8mb4;

-- read by one-order-status
create table if not exists cadenced_order_statuses (
    shipment varchar(120) collate utf8mb4_bin not null,
    status varchar(255),
    primary key (shipment)
) engine = InnoDB character set utf8mb4;

-- read by one-offline-orders
create table if not exists cadenced_offline_orders (
    shipment varchar(120) collate utf8mb4_bin not null,
    order_no varchar(120) collate utf8mb4_bin,
    client varchar(120) collate utf8mb4_bin,
    payment_method varchar(255),
    delivery_net decimal(18, 4),
    products_net decimal(18, 4),
    total_net decimal(18, 4),
    total_tax decimal(18, 4),
    total_gross decimal(18, 4),
    notes text,
    primary key (shipment)
) engine = InnoDB character set utf8mb4;

-- read by one-offline-orders
create table if not exists cadenced_offline_order_lines (
    shipment varchar(120) collate utf8mb4_bin not null,
    line_no integer not null,
    sku varchar(120) collate utf8mb4_bin,
    name varchar(255),
    unit varchar(255),
    quantity decimal(18, 4),
    quantity_shipped decimal(18, 4),
    primary key (shipment, line_no)
) engine = InnoDB character set utf8mb4;

-- written by one-client-pull
create table if not exists cadenced_one_clients (
    client_id varchar(120) collate utf8mb4_bin not null,
    external_id varchar(120) collate utf8mb4_bin,
    account_type varchar(255),
    name varchar(255),
    tin varchar(255),
    business_registration_number varchar(255),
    address_name varchar(255),
    address_street varchar(255),
    address_zip varchar(255),
    address_city varchar(255),
    address_country varchar(255),
    address_phone varchar(255),
    admin_email varchar(255),
    admin_name varchar(255),
    admin_phone varchar(255),
    removed boolean,
    document json,
    primary key (client_id)
) engine = InnoDB character set utf8mb4;

-- written by one-client-ids
create table if not exists cadenced_one_client_ids (
    client_id varchar(120) collate utf8mb4_bin not null,
    external_id varchar(120) collate utf8mb4_bin,
    primary key (client_id)
) engine = InnoDB character set utf8mb4;

-- written by one-orders
create table if not exists cadenced_orders (
    shipment_id varchar(120) collate utf8mb4_bin not null,
    order_id varchar(120) collate utf8mb4_bin,
    purchase_number varchar(255),
    coupon_code varchar(255),
    `lines` json,
    removed boolean,
    document json,
    primary key (shipment_id)
) engine = InnoDB character set utf8mb4;
