//! XML gives the rows that the same answer in JSON would give.

use crate::job::pull::XmlTypes;
use crate::rest::rows::{PageError, PageFacts, Reading, read_page};
use crate::words::FieldPath;
use serde_json::{Value, json};

fn paths(of: &[&str]) -> Vec<FieldPath> {
    of.iter().map(|path| FieldPath::new(path).unwrap()).collect()
}

fn read(body: &[u8], reading: &Reading) -> Result<(Vec<Value>, PageFacts), PageError> {
    let mut rows = Vec::new();
    let facts = read_page(body, None, reading, |row| {
        rows.push(serde_json::from_str(row.get()).unwrap());
        Ok(())
    })?;
    Ok((rows, facts))
}

fn orders() -> Reading {
    let xml = XmlTypes {
        lists: paths(&["lines", "lines.detail", "tags"]),
        numbers: paths(&["total", "lines.quantity", "lines.detail.price"]),
        booleans: paths(&["active"]),
    };
    let wanted = paths(&["pagination.totalItems", "pagination.nextPageUrl"]);
    Reading { rows: FieldPath::new("data").unwrap(), wanted, xml }
}

fn rows(data: &str, reading: &Reading) -> Vec<Value> {
    let body = format!("<?xml version=\"1.0\"?>\n<export><data>{data}</data></export>\n");
    read(body.as_bytes(), reading).unwrap().0
}

fn error(body: &str) -> String {
    read(body.as_bytes(), &orders()).unwrap_err().to_string()
}

#[test]
fn both_nestings_of_lists_give_the_rows_that_json_gives() {
    let json: Value = serde_json::from_str(
        r#"[
        {"id": "0012", "total": 10.10, "active": true, "season": null, "note": "", "tags": [],
         "lines": [{"id": "1", "quantity": 3, "detail": [{"price": 1.50}, {"price": 2}]},
                   {"id": "2", "quantity": null, "detail": []}]},
        {"id": "13", "total": 0, "active": false, "season": {"id": "5"}, "note": " a <b> & \"c\" \ud83d\ude00\n",
         "tags": ["x"], "lines": [{"id": "3", "quantity": 1, "detail": [{"price": 9}]}]}]"#,
    )
    .unwrap();
    let wrapped = "
        <item>
            <id>0012</id><total>10.10</total><active>true</active><season/><note></note><tags/>
            <lines>
                <item><id>1</id><quantity>3</quantity><detail><item><price>1.50</price></item><item><price>2</price></item></detail></item>
                <item><id>2</id><quantity/><detail></detail></item>
            </lines>
        </item>
        <item key=\"1\"><id>13</id><total> 0 </total><active>0</active><season><id>5</id></season>
            <note> a &lt;b> &amp; <![CDATA[\"c\"]]> &#x1F600;&#10;</note><tags><item>x</item></tags>
            <lines><item><id>3</id><quantity>1</quantity><detail><item><price>9</price></item></detail></item></lines>
        </item>";
    assert_eq!(Value::from(rows(wrapped, &orders())), json);
    let bare = "
        <item>
            <id>0012</id><total>10.10</total><active>1</active><season/><note></note><tags/>
            <lines><id>1</id><quantity>3</quantity><detail><price>1.50</price></detail><detail><price>2</price></detail></lines>
            <lines><id>2</id><quantity/><detail/></lines>
        </item>
        <item><id>13</id><total>0</total><active>false</active><season><id>5</id></season>
            <note> a &lt;b&gt; &amp; &quot;c&quot; \u{1F600}\n</note><tags>x</tags>
            <lines><id>3</id><quantity>1</quantity><detail><price>9</price></detail></lines>
        </item>";
    assert_eq!(Value::from(rows(bare, &orders())), json);
}

#[test]
fn without_declarations_values_are_texts_and_lists_are_what_is_seen_to_be_one() {
    let plain = Reading { rows: FieldPath::new("data").unwrap(), ..Reading::default() };
    let row = "<item><n>1.50</n><b>true</b><none/><nil xsi:nil=\"true\">x</nil><text></text>\
        <one><item>a</item></one><two>a</two><ns:two>b</ns:two><alone><x>1</x></alone><mixed>see <x>1</x></mixed></item>";
    assert_eq!(
        rows(row, &plain),
        [json!({"n": "1.50", "b": "true", "none": null, "nil": null, "text": "", "one": ["a"],
            "two": ["a", "b"], "alone": {"x": "1"}, "mixed": {"x": "1", "#": "see "}})]
    );
}

#[test]
fn what_stands_around_the_rows_is_found_and_no_rows_are_an_empty_page() {
    let body = "<export><pagination><totalItems>23</totalItems><nextPageUrl>/a?b=1&amp;page=2</nextPageUrl></pagination>\
        <skipped><data><item/></data></skipped><data/></export>";
    let (rows, facts) = read(body.as_bytes(), &orders()).unwrap();
    assert_eq!((rows.len(), facts.rows), (0, 0));
    assert_eq!(facts.found, [Some(json!("23")), Some(json!("/a?b=1&page=2"))]);
    for none in ["<export><data></data></export>", "<export><data>\n </data></export>"] {
        assert_eq!(read(none.as_bytes(), &orders()).unwrap().1.rows, 0);
    }
    // Rows that aren't wrapped either, and a list that is the document.
    let body = "<export><data><id>1</id></data><data><id>2</id></data></export>";
    assert_eq!(read(body.as_bytes(), &orders()).unwrap().0, [json!({"id": "1"}), json!({"id": "2"})]);
    let body = "<list><item><id>1</id></item><item/></list>";
    assert_eq!(read(body.as_bytes(), &Reading::default()).unwrap().0, [json!({"id": "1"}), Value::Null]);
}

#[test]
fn what_is_no_page_says_what_it_is_instead() {
    assert_eq!(error("<export><rows/></export>"), "the answer has no `data`, where the rows should be");
    assert_eq!(
        error("<export><data>none</data></export>"),
        "`data` of the answer is a text, not an array of rows"
    );
    for (body, words) in [
        ("<response><success>0</success><message>quota used up</message></response>", "quota used up"),
        ("<response><error><message>no</message></error></response>", "no"),
        ("<error><code>7</code><message>no</message></error>", "no"),
    ] {
        assert_eq!(error(body), format!("the platform answered with an error: {words}"), "{body}");
    }
    for (body, reason) in [
        ("<!DOCTYPE export [<!ENTITY a \"b\">]><export><data/></export>", "a DOCTYPE is not accepted"),
        ("<export><data><item><a>&b;</a></item></data></export>", "the entity `&b;` is not defined"),
        ("<export><data><item></data></item></export>", "expected `</item>`, but `</data>` was found"),
        ("<export><data><item/><other/></data></export>", "`other` stands among the items"),
        ("<export><data/></export><export/>", "something follows its end"),
        ("<export><data/></export> x", "something follows its end"),
    ] {
        let said = error(body);
        assert!(said.contains("not XML") && said.contains(reason), "{body}: {said}");
    }
    let deep = format!("<export><data><item>{}", "<a>".repeat(200_000));
    assert!(error(&deep).contains("more than 100 elements within each other"));
    let html = error("<!DOCTYPE html><html><body>Down</body></html>");
    assert!(html.contains("not JSON") && html.contains("`<!DOCTYPE html>"), "{html}");
}

#[test]
fn a_body_cut_anywhere_is_never_a_page() {
    let whole = "<?xml version=\"1.0\"?><export><p><t>2</t></p><data><item><a>ü&amp;</a><!-- c --></item>\
        <item><b/></item></data><q/></export>";
    for cut in (1..whole.len()).filter(|cut| whole.is_char_boundary(*cut)) {
        let cut_off = read(&whole.as_bytes()[..cut], &orders());
        assert!(cut_off.is_err(), "{}: {cut_off:?}", &whole[..cut]);
    }
    assert_eq!(read(whole.as_bytes(), &orders()).unwrap().1.rows, 2);
}
