-- What the shipped jobs need of an ERP on PostgreSQL: a table to write orders to, and a view to read stocks from. Take the
-- columns you need: fields without a column are left out. Replace `stock_levels` by your own tables.

create table b2market_orders (
    id text primary key, id_remote text, reference text, num_order text,
    company jsonb, client jsonb, agent text, status text, season jsonb,
    shipping_address text, billing_address text, discount jsonb, lines jsonb,
    date_order timestamp, date_modified timestamp, date_delivery timestamp, observation text,
    gross_amount numeric(14, 2), base_amount numeric(14, 2), shipping_amount numeric(14, 2),
    tax_amount numeric(14, 2), taxrec_amount numeric(14, 2), total_amount numeric(14, 2),
    total_quantity numeric(14, 3), quantity_served numeric(14, 3), quantity_pending numeric(14, 3),
    shipper text, origin text, is_sale boolean, active boolean, created_by jsonb, updated_by jsonb,
    created_at timestamp, updated_at timestamp
);

create table stock_levels (
    warehouse text, sku text, quantity numeric(14, 3) not null, primary key (warehouse, sku)
);

-- The quantity without needless zeros, so that 7.000 and 7 are not two values to whoever compares texts.
create view cadenced_stocks as select sku, warehouse, trim_scale(quantity) as quantity from stock_levels;
