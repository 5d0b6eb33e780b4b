-- The sample ERP as a shop floor has it: each article of the web shop is made in a job of two parts with two operations
-- each. One job after the other gets a new date, so that something changes.

create table work_cells (code text primary key, name text not null, sequence integer not null);
insert into work_cells values ('WC-10', 'Laser', 10), ('WC-20', 'Bending', 20), ('WC-30', 'Assembly', 30);

create view cadenced_eryxon_cells as select code as external_id, name, null as color, sequence, 1 as active from work_cells;

create view cadenced_eryxon_jobs as
select 'SO-' || rowid as external_id, 'SO-' || rowid as job_number, 'Nordbau' as customer,
    date('now', '+' || (rowid % 30) || ' days') as due_date, rowid % 3 as priority,
    case rowid % 20 when unixepoch('now') / 10 % 20 then 'released at ' || time(unixepoch('now') / 10 * 10, 'unixepoch') end as notes
from articles where rowid <= 40;

create view cadenced_eryxon_parts as
select external_id || '-' || part as external_id, external_id as job_external_id, external_id || '-' || part as part_number,
    'S235' as material, 10 * part as quantity, null as notes
from cadenced_eryxon_jobs, (select 1 as part union all select 2);

create view cadenced_eryxon_operations as
select external_id || '-' || sequence as external_id, external_id as part_external_id, cell_name, operation_name, sequence,
    15 as estimated_time_minutes, null as notes
from cadenced_eryxon_parts,
    (select 10 as sequence, 'Laser' as cell_name, 'Cut' as operation_name union all select 20, 'Assembly', 'Assemble');
