-- The ERP interface of the B2Market jobs on MariaDB; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again. What is marked `written` the jobs write.

-- written by b2market-orders, b2market-order-sweep
create table if not exists b2market_orders (
    id varchar(120) collate utf8mb4_bin not null,
    id_remote varchar(255),
    reference varchar(255),
    num_order varchar(255),
    company json,
    client json,
    agent varchar(255),
    status varchar(255),
    season json,
    shipping_address text,
    billing_address text,
    discount json,
    `lines` json,
    date_order datetime,
    date_modified datetime,
    date_delivery datetime,
    observation text,
    gross_amount decimal(14, 2),
    base_amount decimal(14, 2),
    shipping_amount decimal(14, 2),
    tax_amount decimal(14, 2),
    taxrec_amount decimal(14, 2),
    total_amount decimal(14, 2),
    total_quantity decimal(14, 3),
    quantity_served decimal(14, 3),
    quantity_pending decimal(14, 3),
    shipper varchar(255),
    origin varchar(255),
    is_sale boolean,
    active boolean,
    created_by json,
    updated_by json,
    created_at datetime,
    updated_at datetime,
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- written by b2market-order-statuses
create table if not exists cadenced_b2market_order_statuses (
    id varchar(120) collate utf8mb4_bin not null,
    value varchar(255),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- written by b2market-line-statuses
create table if not exists cadenced_b2market_line_statuses (
    id varchar(120) collate utf8mb4_bin not null,
    value varchar(255),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- written by b2market-companies
create table if not exists cadenced_b2market_companies (
    id varchar(120) collate utf8mb4_bin not null,
    id_remote varchar(255),
    company_name varchar(255),
    tin varchar(255),
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- written by b2market-partners
create table if not exists cadenced_b2market_partners (
    id varchar(120) collate utf8mb4_bin not null,
    id_remote varchar(255),
    role varchar(255),
    company varchar(120) collate utf8mb4_bin,
    locations json,
    primary key (id)
) engine = InnoDB character set utf8mb4;

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_orders (
    number varchar(120) collate utf8mb4_bin not null,
    company varchar(120) collate utf8mb4_bin,
    client varchar(120) collate utf8mb4_bin,
    agent varchar(120) collate utf8mb4_bin,
    season varchar(120) collate utf8mb4_bin,
    status varchar(120) collate utf8mb4_bin,
    shipping_address varchar(120) collate utf8mb4_bin,
    billing_address varchar(120) collate utf8mb4_bin,
    order_date varchar(255),
    observation text,
    primary key (number)
) engine = InnoDB character set utf8mb4;

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_lines (
    number varchar(120) collate utf8mb4_bin not null,
    line_no integer not null,
    status varchar(120) collate utf8mb4_bin,
    quantity decimal(18, 4),
    observations text,
    primary key (number, line_no)
) engine = InnoDB character set utf8mb4;

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_details (
    number varchar(120) collate utf8mb4_bin not null,
    line_no integer not null,
    detail_no integer not null,
    product varchar(120) collate utf8mb4_bin,
    quantity decimal(18, 4),
    price decimal(18, 4),
    retail_price decimal(18, 4),
    primary key (number, line_no, detail_no)
) engine = InnoDB character set utf8mb4;

-- read by b2market-order-create
create table if not exists cadenced_b2market_new_order_discounts (
    number varchar(120) collate utf8mb4_bin not null,
    discount_no integer not null,
    discount_type varchar(120) collate utf8mb4_bin,
    discount decimal(18, 4),
    primary key (number, discount_no)
) engine = InnoDB character set utf8mb4;
