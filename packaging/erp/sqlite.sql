-- What the shipped jobs need of an ERP on SQLite: a table to write orders to, and a view to read stocks from. Take the
-- columns you need: fields without a column are left out. Replace `stock_levels` by your own tables. SQLite's own decimals
-- are floats, so decimals are texts.

create table b2market_orders (
    id text primary key, id_remote text, reference text, num_order text,
    company text, client text, agent text, status text, season text,
    shipping_address text, billing_address text, discount text, lines text,
    date_order text, date_modified text, date_delivery text, observation text,
    gross_amount text, base_amount text, shipping_amount text, tax_amount text, taxrec_amount text,
    total_amount text, total_quantity text, quantity_served text, quantity_pending text,
    shipper text, origin text, is_sale integer, active integer, created_by text, updated_by text,
    created_at text, updated_at text
);

create table stock_levels (
    warehouse text, sku text, quantity text not null, primary key (warehouse, sku)
);

create view cadenced_stocks as select sku, warehouse, quantity from stock_levels;
