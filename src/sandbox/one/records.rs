//! What the platform holds, open to tests: both ends' data can be compared field by field.

use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the platform holds. Documents are as they were sent; the platform's own additions are named.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// By id.
    pub warehouses: BTreeMap<String, Value>,
    /// By warehouse, then by stock id. Warehouses the platform was started with have no document.
    pub stocks: BTreeMap<String, BTreeMap<String, Stock>>,
    /// By the id the platform gave, which the document has as `id`. A root, `segment`, is there from the start.
    pub segments: BTreeMap<String, Value>,
    /// By the id the platform gave, which the document has as `id`.
    pub clients: BTreeMap<String, Value>,
    /// By the organisation's uuid, without `org:`.
    pub trade_credits: BTreeMap<String, Value>,
    /// By client, then by type.
    pub blockades: BTreeMap<String, BTreeMap<String, Value>>,
    /// Price lists by the id the platform gave, which the document has as `id`.
    pub pricings: BTreeMap<String, Value>,
    /// The main catalogue among them.
    pub main_catalog: String,
    /// Lines by product.
    pub retail_prices: BTreeMap<String, Value>,
    /// Lines by price list and product.
    pub prices: BTreeMap<(String, String), Value>,
    /// Price lists by client, or by client group.
    pub clients_to_pricings: BTreeMap<String, BTreeSet<String>>,
    /// By number.
    pub invoices: BTreeMap<String, Value>,
    /// The last status line by the invoice's number.
    pub invoice_statuses: BTreeMap<String, Value>,
    /// Completed files by the invoice's number.
    pub invoice_files: BTreeMap<String, File>,
    /// By number.
    pub goods_issued_notes: BTreeMap<String, Value>,
    /// Completed files by the note's number.
    pub goods_issued_note_files: BTreeMap<String, File>,
    /// The platform's own orders by shipment id, as they are served.
    pub shipments: BTreeMap<String, Value>,
    /// What was said of a shipment, oldest first, by the last segment of the call's path and the shipment's id.
    pub order_updates: BTreeMap<(String, String), Vec<Value>>,
    /// By shipment id.
    pub offline_orders: BTreeMap<String, Value>,
}

/// What the platform knows of an article in a warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// The article.
    pub sku: String,
    /// The quantity, digit for digit as it was sent.
    pub quantity: String,
    /// How many accepted lines have set it.
    pub writes: usize,
}

/// A file that was uploaded whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, as announced.
    pub name: String,
    /// Its bytes.
    pub content: Bytes,
    /// How often it was uploaded to the end.
    pub uploads: usize,
}

/// What stock requests brought since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stock requests that were applied.
    pub requests: usize,
    /// Lines of `stocks` in them.
    pub lines: usize,
    /// Ids of `stocksToRemove` in them.
    pub removals: usize,
    /// The lines and removals of the largest of them.
    pub largest: usize,
}
