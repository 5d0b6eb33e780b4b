-- The sample ERP makes an order of each service that is authorised or in production, and has its own code for it.

create view cadenced_cortecloud_orders as
select id as service_id, 'ERP-' || id as order_code from cadenced_cortecloud_services
where erp_action in ('order', 'production') and internal_code in ('', 'ERP-' || id);
