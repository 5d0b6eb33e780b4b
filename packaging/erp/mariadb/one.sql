-- The ERP interface of the ONe jobs on MariaDB; docs/erp-interface.md describes every column.
--
-- What is marked `read` the jobs read: create views of these names over your own tables first, or fill the tables. What is there
-- already stays as it is, so that this file can be run again.

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
    credit_value decimal(14, 2),
    credit_value_used decimal(14, 2),
    available_credit_value decimal(14, 2),
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
