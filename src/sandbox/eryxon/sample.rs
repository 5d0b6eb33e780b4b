//! Records as an ERP would send them: the same for the same seed and size.

use super::store::Entity;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// How many records of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Work centres.
    pub cells: usize,
    /// Tools and the like.
    pub resources: usize,
    /// Orders.
    pub jobs: usize,
    /// Parts of each job.
    pub parts: usize,
    /// Operations of each part.
    pub operations: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { cells: 6, resources: 10, jobs: 20, parts: 3, operations: 3 }
    }
}

/// Records of every kind, parents by their external ids.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Work centres.
    pub cells: Vec<Value>,
    /// Tools and the like.
    pub resources: Vec<Value>,
    /// Orders.
    pub jobs: Vec<Value>,
    /// Their parts.
    pub parts: Vec<Value>,
    /// The parts' operations.
    pub operations: Vec<Value>,
}

impl Sample {
    /// Those of one kind.
    #[must_use]
    pub fn of(&self, entity: Entity) -> &[Value] {
        match entity {
            Entity::Cells => &self.cells,
            Entity::Resources => &self.resources,
            Entity::Jobs => &self.jobs,
            Entity::Parts => &self.parts,
            Entity::Operations => &self.operations,
        }
    }
}

const WORK: [&str; 6] = ["Laser", "Bending", "Welding", "Milling", "Painting", "Assembly"];
const STEPS: [&str; 6] = ["Cut", "Bend", "Weld", "Mill", "Paint", "Assemble"];
const MATERIALS: [&str; 4] = ["S235", "S355", "1.4301", "AlMg3"];
const CUSTOMERS: [&str; 5] = ["Nordbau", "Metalo", "Stahlwerk Süd", "Ørsted & Søn", "Łódź Steel"];
const TYPES: [&str; 5] = ["tooling", "fixture", "mold", "material", "equipment"];

/// Makes records of this source.
#[must_use]
pub fn sample(seed: u64, source: &str, size: Size) -> Sample {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut made = Sample::default();
    let cell = |at: usize| format!("{} {}", WORK[at % WORK.len()], at / WORK.len() + 1);
    for at in 0..size.cells {
        made.cells.push(json!({
            "external_id": format!("WC-{}", (at + 1) * 10), "external_source": source, "name": cell(at),
            "color": format!("#{:06x}", dice.random_range(0..0x0100_0000)), "sequence": (at + 1) * 10, "active": true,
        }));
    }
    for at in 0..size.resources {
        made.resources.push(json!({
            "external_id": format!("R-{}", at + 1), "external_source": source, "name": format!("Resource {}", at + 1),
            "type": TYPES[dice.random_range(0..TYPES.len())], "location": format!("Rack {}", at % 7 + 1),
            "active": true,
        }));
    }
    for job in 0..size.jobs {
        let number = 7001 + job;
        let due = chrono::NaiveDate::from_ymd_opt(2026, 11, 1).unwrap_or_default()
            + chrono::Days::new(dice.random_range(0..90));
        made.jobs.push(json!({
            "external_id": format!("SO-{number}"), "external_source": source, "job_number": number.to_string(),
            "customer": CUSTOMERS[dice.random_range(0..CUSTOMERS.len())], "due_date": due.to_string(),
        }));
        for part in 1..=size.parts {
            made.parts.push(json!({
                "external_id": format!("SO-{number}-{part}"), "external_source": source,
                "job_external_id": format!("SO-{number}"), "part_number": format!("{number}-{part}"),
                "material": MATERIALS[dice.random_range(0..MATERIALS.len())],
                "quantity": dice.random_range(1..=200),
            }));
            for step in 1..=size.operations {
                let work = dice.random_range(0..size.cells.max(1));
                made.operations.push(json!({
                    "external_id": format!("SO-{number}-{part}-{}", step * 10), "external_source": source,
                    "part_external_id": format!("SO-{number}-{part}"), "operation_name": STEPS[work % STEPS.len()],
                    "cell_name": cell(work), "sequence": step * 10,
                    "estimated_time_minutes": dice.random_range(1..=240),
                }));
            }
        }
    }
    made
}
