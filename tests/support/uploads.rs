//! A site whose ERP has documents with files, for the shipped uploads. The documents' contents go through a small push of
//! the test's own, so that nothing but the uploads is under test.

use super::Site;
use cadenced::run::Outcome;
use cadenced::runner::Ended;
use std::path::PathBuf;

/// The shipped job under test.
pub(crate) const FILES: &str = "one-invoice-files";

/// A file that says it is a PDF, with bytes of every kind.
pub(crate) fn pdf(seed: u8, size: usize) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n\r\n--\0".to_vec();
    bytes.extend((bytes.len()..size).map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ seed));
    bytes
}

/// A site with an archive of documents.
pub(crate) struct Archive {
    pub(crate) site: Site,
    client: String,
}

impl Archive {
    /// With these keys in the upload of [`FILES`].
    pub(crate) async fn new(upload: &str) -> Self {
        let site = Site::quiet().await;
        sqlx::raw_sql(include_str!("../../packaging/erp/sqlite/one.sql")).execute(&site.erp).await.unwrap();
        sqlx::raw_sql("create table documents (number text primary key, note text)")
            .execute(&site.erp)
            .await
            .unwrap();
        site.one.seed(1, 0, 0);
        let client = site.one.records().clients.keys().next().unwrap().clone();
        std::fs::create_dir(site.dir().join("files")).unwrap();
        let archive = Self { site, client };
        archive.upload(upload);
        archive
    }

    /// Replaces the keys of the upload.
    pub(crate) fn upload(&self, upload: &str) {
        let (client, files) = (&self.client, self.directory());
        self.site.schedule(&format!(
            r#"
[connection.one]
retry = {{ first = "10ms" }}

[job.documents]
read = {{ from = "erp", sql = "select number, note from documents", key = ["number"] }}
map = {{ number = "{{number}}", notes = "{{note}}", clientData.clientId = "{client}" }}
push = {{ to = "one", put = "/api/v1/invoices/integrations/auth-required/invoices" }}

[job.{FILES}]
cron = "0 0 0 1 1 *"
upload.parent.job = "documents"
upload.file.path = "path"
upload.file.root = "{files}"
{upload}
"#,
            files = files.display(),
        ));
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> PathBuf {
        self.site.dir().join("files")
    }

    /// A document, and the file in its row, or the path of one.
    pub(crate) async fn add(&self, number: &str, content: Option<&[u8]>, path: Option<&str>) {
        self.write(number).await;
        sqlx::query("insert or replace into cadenced_invoice_files (number, file_name, content, path) values (?1, ?2, ?3, ?4)")
            .bind(number)
            .bind(format!("{number}.pdf"))
            .bind(content)
            .bind(path)
            .execute(&self.site.erp)
            .await
            .unwrap();
    }

    /// A document without a file.
    pub(crate) async fn write(&self, number: &str) {
        sqlx::query("insert or ignore into documents values (?1, 'as sent')")
            .bind(number)
            .execute(&self.site.erp)
            .await
            .unwrap();
    }

    /// A document whose file lies in the directory.
    pub(crate) async fn put(&self, number: &str, bytes: &[u8]) {
        let name = format!("{}.pdf", number.replace('/', "-"));
        std::fs::write(self.directory().join(&name), bytes).unwrap();
        self.add(number, None, Some(&name)).await;
    }

    /// Sends the documents' contents, and then their files.
    pub(crate) async fn runs(&self) -> Ended {
        let contents = self.site.once("documents").await;
        assert_eq!(contents.outcome, Outcome::Ok, "{contents:?}");
        self.site.once(FILES).await
    }

    /// The file the platform has of a document, and how often it was brought there.
    pub(crate) fn there(&self, number: &str) -> Option<(Vec<u8>, usize)> {
        let records = self.site.one.records();
        records.invoice_files.get(number).map(|file| (file.content.to_vec(), file.uploads))
    }

    /// Requests about files so far.
    pub(crate) fn requests(&self) -> usize {
        self.site.one.wire.count_of("upload")
    }
}
