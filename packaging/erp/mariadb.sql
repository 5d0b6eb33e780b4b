-- What the shipped jobs need of an ERP on MariaDB: a table to write orders to, and a view to read stocks from. Take the
-- columns you need: fields without a column are left out. Replace `stock_levels` by your own tables.

create table b2market_orders (
    id varchar(40) collate utf8mb4_bin primary key, id_remote varchar(100), reference varchar(100),
    num_order varchar(100), company json, client json, agent varchar(100), status varchar(100), season json,
    shipping_address text, billing_address text, discount json, `lines` json,
    date_order datetime, date_modified datetime, date_delivery datetime, observation text,
    gross_amount decimal(14, 2), base_amount decimal(14, 2), shipping_amount decimal(14, 2),
    tax_amount decimal(14, 2), taxrec_amount decimal(14, 2), total_amount decimal(14, 2),
    total_quantity decimal(14, 3), quantity_served decimal(14, 3), quantity_pending decimal(14, 3),
    shipper varchar(100), origin varchar(100), is_sale boolean, active boolean, created_by json, updated_by json,
    created_at datetime, updated_at datetime
) engine = InnoDB character set utf8mb4;

create table stock_levels (
    warehouse varchar(40), sku varchar(100), quantity decimal(14, 3) not null, primary key (warehouse, sku)
) engine = InnoDB character set utf8mb4;

-- The quantity without needless zeros, so that 7.000 and 7 are not two values to whoever compares texts.
create view cadenced_stocks as
    select sku, warehouse, trim(trailing '.' from trim(trailing '0' from cast(quantity as char))) as quantity
    from stock_levels;
