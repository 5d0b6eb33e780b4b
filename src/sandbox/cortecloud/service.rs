//! What services and materials are made of: a document is a function of the seed, the id and the revision.

use super::Material;
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::America::Sao_Paulo;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) id: u64,
    pub(super) status: u32,
    pub(super) revision: u64,
    pub(super) internal_code: Option<String>,
    pub(super) updated: DateTime<Utc>,
}

const CUSTOMERS: [&str; 4] = ["Móveis Aurora", "Marcenaria São José", "Casa & Cia", "Estúdio Pinheiro"];
const PANELS: [&str; 4] = ["MDF Branco 15 mm", "MDF Carvalho 18 mm", "MDP Cinza 15 mm", "Compensado 20 mm"];
const TAPES: [&str; 3] = ["Fita Branca 22 mm", "Fita Carvalho 22 mm", "Fita Cinza 35 mm"];
const COMPONENTS: [&str; 6] =
    ["Dobradiça", "Corrediça 400", "Puxador", "Parafuso 4x40", "Cavilha 8x30", "Minifix 15"];

impl Service {
    /// As it is in a list.
    pub(super) fn item(&self, local: bool) -> Value {
        json!({
            "id": self.id,
            "status": self.status,
            "internal_code": self.internal_code,
            "updated_at": date(self.updated, local),
        })
    }

    /// As it is read alone.
    pub(super) fn detail(&self, seed: u64, local: bool) -> Value {
        let mut dice = StdRng::seed_from_u64(seed ^ self.id.rotate_left(20) ^ self.revision.rotate_left(44));
        let mut lines = |names: &[&str], most: usize| -> Vec<Value> {
            let count = dice.random_range(1..=most);
            let line = |_| {
                let at = dice.random_range(0..names.len());
                let cents = dice.random_range(50..50_000);
                json!({
                    "id": at + 1, "description": names[at], "quantity": dice.random_range(1..=20),
                    "price": decimal(cents),
                })
            };
            (0..count).map(line).collect()
        };
        let (panels, tapes, components) = (lines(&PANELS, 3), lines(&TAPES, 2), lines(&COMPONENTS, 4));
        let customer = CUSTOMERS[dice.random_range(0..CUSTOMERS.len())];
        let mut operation = |code: &str| json!({"code": code, "quantity": dice.random_range(0..=60)});
        let operations = ["cut", "edge", "drill"].map(&mut operation);
        let mut detail = self.item(local);
        detail["name"] = format!("Projeto {}", self.id).into();
        detail["revision"] = self.revision.into();
        detail["customer"] = json!({"name": customer});
        detail["panels"] = panels.into();
        detail["tapes"] = tapes.into();
        detail["components"] = components.into();
        detail["operations"] = Value::from(operations.to_vec());
        detail
    }
}

/// A material as it is served.
pub(super) fn material(seed: u64, kind: Material, id: u64) -> Map<String, Value> {
    let mut dice = StdRng::seed_from_u64(seed ^ id.rotate_left(30) ^ kind as u64);
    let names: &[&str] = match kind {
        Material::Panels => &PANELS,
        Material::Tapes => &TAPES,
        Material::Components => &COMPONENTS,
    };
    let at = usize::try_from(id).unwrap_or_default() % names.len();
    let fields = [
        ("id", id.into()),
        ("description", names[at].into()),
        ("internal_code", Value::Null),
        ("active", true.into()),
        ("price", decimal(dice.random_range(50..50_000))),
        ("stock", dice.random_range(0..500).into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A number with two decimals, as text would show it.
fn decimal(cents: u32) -> Value {
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    serde_json::from_str(&text).unwrap_or_default()
}

fn date(at: DateTime<Utc>, local: bool) -> String {
    if local {
        at.with_timezone(&Sao_Paulo).format("%Y-%m-%dT%H:%M:%S").to_string()
    } else {
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}
