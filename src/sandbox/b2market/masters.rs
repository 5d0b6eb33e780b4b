//! What an order refers to: companies, business partners with their locations, seasons, products, warehouses with their
//! stocks, statuses (B2Market contract §1 row 8, §6, §9).

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Records by id, as they are served.
pub type Rows = BTreeMap<String, Value>;

/// What an order refers to. Sample orders refer to sample masters.
#[derive(Debug, Clone, Default)]
pub struct Masters {
    /// 1 to 4.
    pub companies: Rows,
    /// Clients and representatives, each of one company.
    pub partners: Rows,
    /// The clients' addresses, each with `partner`, `shippingAddress` and `billingAddress`.
    pub locations: Rows,
    /// For fashion.
    pub seasons: Rows,
    /// What is sold.
    pub products: Rows,
    /// Where it is.
    pub warehouses: Rows,
    /// How much of it is there.
    pub stocks: Rows,
    /// Of orders, by id.
    pub statuses: BTreeMap<String, String>,
    /// Of lines, by id.
    pub line_statuses: BTreeMap<String, String>,
}

const STAMP: &str = "2026-01-02 03:04:05";

impl Masters {
    pub(super) fn sample() -> Self {
        let mut masters = Self::default();
        for id in 1..=4 {
            masters.add_company(&id.to_string());
        }
        // An id leaves the remainder of its company's: orders pick theirs in the same way.
        for id in 100..400 {
            masters.add_partner(&id.to_string(), "Client", &(id % 4 + 1).to_string());
        }
        for id in 68..80 {
            masters.add_partner(&id.to_string(), "Representant", &(id % 4 + 1).to_string());
        }
        let season = json!({"id": "5", "idRemote": "S5", "description": "Otoño-Invierno"});
        masters.seasons.insert("5".to_owned(), season);
        for id in 1000..1100 {
            masters.add_product(&id.to_string());
        }
        let name = |name: &&str| ((*name).to_owned(), (*name).to_owned());
        masters.statuses = super::order::STATUSES.iter().map(name).collect();
        masters.line_statuses = ["Open", "Served"].iter().map(name).collect();
        for id in ["1", "2"] {
            let warehouse = json!({
                "id": id, "idRemote": format!("W{id}"), "name": format!("Almacén {id}"), "address": "C/ Mayor 14",
                "city": "Madrid", "state": {"id": "28", "description": "Madrid"}, "postalCode": "28013",
                "country": {"id": "34", "idRemote": "ES", "description": "España", "iso": "ES"},
                "createdAt": STAMP, "updatedAt": STAMP,
            });
            masters.warehouses.insert(id.to_owned(), warehouse);
            for product in masters.products.keys() {
                let stock = json!({
                    "id": format!("{id}{product}"), "product": {"id": product, "idRemote": null, "reference": product},
                    "warehouse": {"id": id, "idRemote": format!("W{id}")}, "quantity": 10,
                    "createdAt": STAMP, "updatedAt": STAMP,
                });
                masters.stocks.insert(format!("{id}{product}"), stock);
            }
        }
        masters
    }

    /// Adds a company.
    pub fn add_company(&mut self, id: &str) {
        let company = json!({
            "id": id, "idRemote": format!("C{id}"), "state": {"id": "1", "description": "Activa"},
            "companyName": format!("Empresa {id} S.L."), "commercialName": format!("Empresa {id}"), "tin": format!("B{id:0>8}"),
            "phone": "+34910000000", "email": format!("empresa{id}@example.org"), "default": id == "1",
        });
        self.companies.insert(id.to_owned(), company);
    }

    /// Adds a business partner with the role `Client` or `Representant`; a client has two locations, `{id}01` to ship
    /// to and `{id}02` to bill to.
    pub fn add_partner(&mut self, id: &str, role: &str, company: &str) {
        let mut locations = Vec::new();
        if role == "Client" {
            for (suffix, shipping) in [("01", true), ("02", false)] {
                let location = json!({
                    "id": format!("{id}{suffix}"), "partner": id, "address": format!("C/ Mayor {id}, 28013 Madrid"),
                    "shippingAddress": shipping, "billingAddress": !shipping,
                });
                self.locations.insert(format!("{id}{suffix}"), location.clone());
                locations.push(location);
            }
        }
        let partner = json!({
            "id": id, "idRemote": format!("K-{id}"), "role": role, "status": "active", "contacts": [],
            "locations": locations, "company": {"id": company, "idRemote": format!("C{company}")},
        });
        self.partners.insert(id.to_owned(), partner);
    }

    /// Adds a product.
    pub fn add_product(&mut self, id: &str) {
        let product = json!({"id": id, "idRemote": null, "reference": id, "name": format!("Artículo {id}")});
        self.products.insert(id.to_owned(), product);
    }
}
