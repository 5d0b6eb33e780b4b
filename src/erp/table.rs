//! The table a pull writes to, as the database describes it, and the upsert statements for it.

use super::cell::Kind;
use super::failure::failure;
use super::session::{Connection, Session};
use crate::connection::Dialect;
use crate::job::Write;
use crate::transfer::{Class, Failure};
use std::collections::{BTreeMap, BTreeSet};

/// A table that exists and can be upserted into by its key.
pub(super) struct Table {
    pub(super) dialect: Dialect,
    /// Quoted, with its schema.
    quoted: String,
    /// As the job names it.
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Which of the columns identify a row.
    pub(super) key: BTreeSet<usize>,
    /// Unique indexes on other columns than the key's.
    others: Vec<BTreeSet<usize>>,
}

/// A column that can be written.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// How PostgreSQL makes the value of a text parameter, with `$` for it.
    cast: String,
}

/// How well a field's name fits a column's; less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Exact,
    Case,
    Words,
}

impl Table {
    /// Looks the table up and makes sure that an upsert by the job's key is one.
    pub(super) async fn find(session: &mut Session, write: &Write) -> Result<Self, Failure> {
        let limit = session.statement_timeout();
        Session::within(limit, Self::look_up(&mut session.connection, write)).await?
    }

    async fn look_up(connection: &mut Connection, write: &Write) -> Result<Self, Failure> {
        let name = write.table.clone();
        let failed = |error| failure(error, &format!("table `{name}` can't be looked up"));
        let config = |problem: String| Failure::new(Class::Config, problem);
        let dialect = connection.dialect();
        let (schema, bare) = name.split_once('.').unwrap_or(("", &name));
        let quoted = match schema {
            "" => quote(dialect, bare),
            schema => format!("{}.{}", quote(dialect, schema), quote(dialect, bare)),
        };
        let (columns_sql, indexes_sql) = questions(dialect);
        let about: &[&str] = match dialect {
            Dialect::Sqlite => &[bare, if schema.is_empty() { "main" } else { schema }],
            Dialect::Postgres => &[&quoted],
            Dialect::Mysql => &[schema, bare],
        };
        let found = connection.ask(columns_sql, about).await.map_err(failed)?;
        let columns: Vec<Column> = found
            .into_iter()
            .map(|row| match <[String; 3]>::try_from(row) {
                Ok([name, kind, cast]) => Column { name, kind: self::kind(dialect, &kind), cast },
                Err(_) => Column { name: String::new(), kind: Kind::Plain, cast: String::new() },
            })
            .collect();
        if columns.is_empty() {
            return Err(config(format!("there is no table `{name}`")));
        }
        let position = |wanted: &str| {
            let fit = |i: &usize| fit(wanted, &columns[*i].name).filter(|fit| *fit < Fit::Words);
            (0..columns.len()).filter(|i| fit(i).is_some()).min_by_key(fit)
        };
        let key: BTreeSet<usize> = write
            .upsert_by
            .iter()
            .map(|wanted| {
                position(wanted).ok_or_else(|| {
                    config(format!("table `{name}` has no column `{wanted}`, which `upsert-by` names"))
                })
            })
            .collect::<Result<_, _>>()?;

        let mut indexes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in connection.ask(indexes_sql, about).await.map_err(failed)? {
            if let Ok([index, column]) = <[String; 2]>::try_from(row) {
                indexes.entry(index).or_default().push(column);
            }
        }
        // An index on an expression or on a part of a column names no column, and is none of ours.
        let exact = |column: &String| columns.iter().position(|known| known.name == *column);
        let indexes: Vec<BTreeSet<usize>> =
            indexes.into_values().filter_map(|names| names.iter().map(exact).collect()).collect();
        if !indexes.contains(&key) {
            let names: Vec<_> = key.iter().map(|i| quote(dialect, &columns[*i].name)).collect();
            let names = names.join(", ");
            return Err(config(format!(
                "table `{name}` has no unique index on ({names}), which `upsert-by` needs to find a row again; \
                 create one: create unique index cadenced_key on {quoted} ({names})"
            )));
        }
        let others = indexes.into_iter().filter(|index| !index.is_superset(&key)).collect();
        Ok(Self { dialect, quoted, name, columns, key, others })
    }

    /// Where a field goes: the column of its name, else the one whose name differs in case only, else in case,
    /// underscores and hyphens only.
    pub(super) fn column_for(&self, field: &str) -> Option<(usize, Fit)> {
        let fits = self.columns.iter().enumerate();
        fits.filter_map(|(i, column)| Some((i, fit(field, &column.name)?))).min_by_key(|(_, fit)| *fit)
    }

    /// The statement that deletes the row with this key or, where columns are to be set, sets them there. The values of
    /// what is set stand before those of the key.
    pub(super) fn removal(
        &self,
        set: impl Iterator<Item = usize>,
        key: impl Iterator<Item = usize>,
    ) -> String {
        let mut number = 0;
        let mut equal = |i: usize| {
            number += 1;
            let column = &self.columns[i];
            let value = match self.dialect {
                Dialect::Postgres => column.cast.replace('$', &format!("${number}")),
                _ => "?".to_owned(),
            };
            format!("{} = {value}", quote(self.dialect, &column.name))
        };
        let set: Vec<String> = set.map(&mut equal).collect();
        let key: Vec<String> = key.map(&mut equal).collect();
        let (table, key) = (&self.quoted, key.join(" and "));
        if set.is_empty() {
            format!("delete from {table} where {key}")
        } else {
            format!("update {table} set {} where {key}", set.join(", "))
        }
    }

    /// The statement that inserts these columns of so many rows or, where the key is there already, updates them. The
    /// values of a row stand in the order of its columns, row after row.
    ///
    /// # Errors
    /// MySQL's upsert can't be told which unique index it is about: where these columns could collide on another one,
    /// it would overwrite a different row, and is not built.
    pub(super) fn upsert(&self, written: &BTreeSet<usize>, rows: usize) -> Result<String, Failure> {
        let quoted = |i: &usize| quote(self.dialect, &self.columns[*i].name);
        let listed = |columns: &mut dyn Iterator<Item = String>| columns.collect::<Vec<_>>().join(", ");
        let names = listed(&mut written.iter().map(quoted));
        let mut number = 0;
        let values = listed(&mut (0..rows).map(|_| {
            let row = listed(&mut written.iter().map(|i| match self.dialect {
                Dialect::Postgres => {
                    number += 1;
                    self.columns[*i].cast.replace('$', &format!("${number}"))
                }
                _ => "?".to_owned(),
            }));
            format!("({row})")
        }));
        let insert = format!("insert into {} ({names}) values {values}", self.quoted);
        let key = listed(&mut self.key.iter().map(quoted));
        let mut updated = written.difference(&self.key).map(quoted).peekable();
        Ok(match self.dialect {
            Dialect::Mysql => {
                if let Some(other) = self.others.iter().find(|other| other.is_subset(written)) {
                    let other = listed(&mut other.iter().map(quoted));
                    return Err(Failure::new(
                        Class::Config,
                        format!(
                            "table `{}` has a second unique index, on ({other}): with MySQL a record that collides \
                             there would overwrite a different row; drop that index, or leave its columns out with a \
                             map",
                            self.name
                        ),
                    ));
                }
                // With nothing to update, the key is set to itself: `insert ignore` would hide errors too.
                let set = match updated.peek() {
                    Some(_) => listed(&mut updated.map(|name| format!("{name} = values({name})"))),
                    None => listed(&mut self.key.iter().map(quoted).map(|name| format!("{name} = {name}"))),
                };
                format!("{insert} on duplicate key update {set}")
            }
            _ if updated.peek().is_none() => format!("{insert} on conflict ({key}) do nothing"),
            _ => {
                let set = listed(&mut updated.map(|name| format!("{name} = excluded.{name}")));
                format!("{insert} on conflict ({key}) do update set {set}")
            }
        })
    }
}

/// What is asked for a table's columns (name, type, cast) and for its unique indexes (index, column).
fn questions(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Sqlite => (
            "select name, type, '' from pragma_table_xinfo(?1, ?2) where hidden = 0 order by cid",
            "select '', name from pragma_table_xinfo(?1, ?2) where pk > 0
             union all
             select list.name, info.name from pragma_index_list(?1, ?2) as list, pragma_index_info(list.name, ?2) as info
             where list.\"unique\" = 1 and list.partial = 0",
        ),
        // A domain is cast to its base type and a type never to a length: an explicit cast to varchar(2) cuts
        // silently, while the assignment that follows refuses. A time stamp without zone gets UTC.
        Dialect::Postgres => (
            "select a.attname::text, b.typname::text,
                    case when b.typname = 'bytea' then 'decode($, ''base64'')'
                         when b.typname = 'timestamp' then '$::timestamptz::timestamp'
                         else '$::' || quote_ident(n.nspname) || '.' || quote_ident(b.typname) end
             from pg_catalog.pg_attribute a
             join pg_catalog.pg_type t on t.oid = a.atttypid
             join pg_catalog.pg_type b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
             join pg_catalog.pg_namespace n on n.oid = b.typnamespace
             where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
             order by a.attnum",
            "select i.indexrelid::text, a.attname::text
             from pg_catalog.pg_index i
             join pg_catalog.pg_attribute a
               on a.attrelid = i.indrelid and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
             where i.indrelid = to_regclass($1) and i.indisunique and i.indimmediate and i.indisvalid
               and i.indpred is null and i.indexprs is null",
        ),
        Dialect::Mysql => (
            "select column_name, lower(data_type), '' from information_schema.columns
             where table_schema = coalesce(nullif(?, ''), database()) and table_name = ?
               and coalesce(generation_expression, '') = ''
             order by ordinal_position",
            "select index_name, case when sub_part is null then column_name else '' end
             from information_schema.statistics
             where table_schema = coalesce(nullif(?, ''), database()) and table_name = ? and non_unique = 0",
        ),
    }
}

fn kind(dialect: Dialect, declared: &str) -> Kind {
    let declared = declared.to_ascii_lowercase();
    match dialect {
        // The rules of column affinity, in their order: <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>.
        Dialect::Sqlite => {
            let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
            if has(&["int"]) {
                Kind::IntegerOrFloat
            } else if has(&["char", "clob", "text"]) || declared.is_empty() {
                Kind::Plain
            } else if has(&["blob"]) {
                Kind::Bytes
            } else if has(&["real", "floa", "doub"]) {
                Kind::Float
            } else {
                Kind::IntegerOrFloat
            }
        }
        Dialect::Postgres => match declared.as_str() {
            "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" => Kind::Number,
            "bytea" => Kind::Bytes,
            "json" | "jsonb" => Kind::Json,
            _ => Kind::Plain,
        },
        Dialect::Mysql => match declared.as_str() {
            "json" => Kind::Json,
            "datetime" | "timestamp" => Kind::Instant,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes,
            _ => Kind::Plain,
        },
    }
}

fn fit(field: &str, column: &str) -> Option<Fit> {
    let words = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    if field == column {
        Some(Fit::Exact)
    } else if field.to_lowercase() == column.to_lowercase() {
        Some(Fit::Case)
    } else {
        (words(field) == words(column)).then_some(Fit::Words)
    }
}

fn quote(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Mysql => format!("`{}`", name.replace('`', "``")),
        _ => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(dialect: Dialect, others: Vec<BTreeSet<usize>>) -> Table {
        let column =
            |name: &str| Column { name: name.to_owned(), kind: Kind::Plain, cast: "$::text".to_owned() };
        Table {
            dialect,
            quoted: quote(dialect, "t"),
            name: "t".to_owned(),
            columns: ["id", "em`\"ail", "note"].map(column).into(),
            key: [0].into(),
            others,
        }
    }

    #[test]
    fn each_dialect_has_its_own_upsert() {
        let statements = [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql].map(|dialect| {
            let table = table(dialect, Vec::new());
            let (all, key) =
                (table.upsert(&[0, 1].into(), 1).unwrap(), table.upsert(&[0].into(), 2).unwrap());
            format!("{all}\n{key}")
        });
        insta::assert_snapshot!(statements.join("\n"), @r#"
        insert into "t" ("id", "em`""ail") values (?, ?) on conflict ("id") do update set "em`""ail" = excluded."em`""ail"
        insert into "t" ("id") values (?), (?) on conflict ("id") do nothing
        insert into "t" ("id", "em`""ail") values ($1::text, $2::text) on conflict ("id") do update set "em`""ail" = excluded."em`""ail"
        insert into "t" ("id") values ($1::text), ($2::text) on conflict ("id") do nothing
        insert into `t` (`id`, `em``"ail`) values (?, ?) on duplicate key update `em``"ail` = values(`em``"ail`)
        insert into `t` (`id`) values (?), (?) on duplicate key update `id` = `id`
        "#);
    }

    #[test]
    fn mysql_is_not_asked_for_an_upsert_that_could_overwrite_another_row() {
        let table = table(Dialect::Mysql, vec![[1].into()]);
        assert!(table.upsert(&[0, 2].into(), 1).is_ok());
        let refused = table.upsert(&[0, 1].into(), 1).unwrap_err();
        assert_eq!(refused.class, Class::Config);
        assert!(refused.message.contains("second unique index, on (`em``\"ail`)"), "{refused}");
    }
}
