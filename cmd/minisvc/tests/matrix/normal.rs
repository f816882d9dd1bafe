//! Takes out of a client's text what differs from run to run: addresses, ages, times, hashes, random names, versions of
//! objects. What is left must be equal.

use std::sync::LazyLock;

use regex::Regex;

use super::client::Client;

/// The letters that random parts of names are made of.
const SAFE: &str = "[bcdfghjklmnpqrstvwxz2456789]";

static RULES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let rule = |pattern: &str, text| (Regex::new(pattern).expect("a pattern"), text);
    vec![
        // What newer kubectls say more, and older ones wrote of times that are not set.
        rule(r" deleted from \S+ namespace", " deleted"),
        rule(r"(?m)^ *creationTimestamp: null\n", ""),
        rule(r#","creationTimestamp":null|,\\"creationTimestamp\\":null"#, ""),
        // What clients say of their own when they had to wait.
        rule(r"(?m)^I\d{4} \d\d:\d\d:\d\d\.\d+ .*\n", ""),
        // What kubectl sometimes says when one end of its terminal writes after the other said goodbye.
        rule(r#"(?m)^E\d{4} .*err="websocket: close sent"\n"#, ""),
        rule(r"\bns-[a-z]\d{1,3}\b", "ns"),
        rule(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
        rule(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "TIME"),
        rule(r"\b[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        rule(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} UTC\b", "TIME"),
        rule(r"\b10\.244\.\d+\.\d+\b", "POD-IP"),
        rule(r"\b10\.96\.0\.(1|10)\b", "FIXED-IP-$1"),
        rule(r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b", "CLUSTER-IP"),
        rule(r"\b203\.0\.113\.\d+\b", "LB-IP"),
        rule(r"FIXED-IP-(1|10)\b", "10.96.0.$1"),
        rule(&format!("(pod-template-hash[=:]\\s*\"?){SAFE}{{6,10}}\\b"), "${1}HASH"),
        rule(&format!("-{SAFE}{{6,10}}-{SAFE}{{5}}\\b"), "-HASH-RANDOM"),
        rule(&format!("-{SAFE}{{8,10}}\\b"), "-HASH"),
        rule(&format!("-{SAFE}{{5}}\\b"), "-RANDOM"),
        rule(r#"(?m)(resourceVersion"?: ?"?)\d+"#, "${1}N"),
        rule(r"(Resource Version: +)\d+", "${1}N"),
        rule(r"\b3[0-2]\d{3}\b", "NODEPORT"),
        rule(r"(^|[\s(])(\d+[smhd]){1,2}\d*($|[\s),])", "${1}AGE${3}"),
        rule(r"(^|[\s(])(\d+[smhd]){1,2}($|[\s),])", "${1}AGE${3}"),
        rule(r"AGE \(x\d+ over AGE\)", "AGE"),
        rule(r"(?m)(\S) {2,}", "$1  "),
        rule(r"(?m)[ \t]+$", ""),
    ]
});

/// The text in the form that goldens hold.
pub fn form(text: &str, client: &Client<'_>, hide: &[(Regex, String)]) -> String {
    let home = client.folder().join("home").display().to_string();
    let mut text = text.replace(&home, "HOME");
    for (pattern, with) in hide {
        text = pattern.replace_all(&text, with.as_str()).into_owned();
    }
    for (pattern, with) in RULES.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    text
}
