//! Generated texts of the relevant kinds.

use std::fmt::Write;

pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) texts: Vec<Vec<u8>>,
    pub(crate) kind: Kind,
}

/// The type of the texts.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Each text is a message.
    Messages,
    /// Each text is a list of pairs of floats.
    Floats,
    /// Texts without a declared type.
    Other,
}

pub(crate) fn all() -> Vec<Corpus> {
    let mut random = Random(42);
    let corpus = |name, kind, texts: Vec<String>| Corpus {
        name,
        texts: texts.into_iter().map(String::into_bytes).collect(),
        kind,
    };
    let escapes = [
        "\\n",
        "\\\"",
        "\\\\",
        "\\u00e9",
        "\\u4e2d",
        "\\ud83d\\ude00",
        "word ",
    ];
    let characters = ["😀", "é", "中", "文", "ж", "word ", "日本語 "];
    vec![
        corpus(
            "messages",
            Kind::Messages,
            (0..10_000).map(|id| random.message(id)).collect(),
        ),
        corpus(
            "appends",
            Kind::Messages,
            (0..300).map(|id| random.append(id)).collect(),
        ),
        corpus("floats", Kind::Floats, vec![random.floats()]),
        corpus("posts", Kind::Other, vec![random.posts()]),
        corpus("indented", Kind::Other, vec![indented(&random.posts())]),
        corpus("escapes", Kind::Other, vec![random.strings(&escapes)]),
        corpus(
            "mixed UTF-8",
            Kind::Other,
            vec![random.strings(&characters)],
        ),
    ]
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.below(among.len() as u64) as usize]
    }

    /// A message between a client and a node.
    fn message(&mut self, id: u64) -> String {
        let (client, node) = (self.below(40), self.below(5));
        let (key, value) = (self.below(100), self.below(10_000));
        let body = match self.below(6) {
            0 => format!(r#""type":"read","msg_id":{id},"key":{key}"#),
            1 => format!(r#""type":"write","msg_id":{id},"key":{key},"value":{value}"#),
            2 => format!(
                r#""type":"cas","msg_id":{id},"key":{key},"from":1,"to":2,"create_if_not_exists":true"#
            ),
            3 => format!(r#""type":"read_ok","msg_id":{id},"in_reply_to":{value},"value":{key}"#),
            4 => format!(r#""type":"write_ok","msg_id":{id},"in_reply_to":{value}"#),
            _ => format!(
                r#""type":"error","in_reply_to":{value},"code":22,"text":"expected 3, had 4""#
            ),
        };
        format!(r#"{{"id":{id},"src":"c{client}","dest":"n{node}","body":{{{body}}}}}"#)
    }

    /// A message of a leader.
    fn append(&mut self, id: u64) -> String {
        let entry = |index: u64, random: &mut Random| {
            let (term, client, key) = (random.below(10), random.below(40), random.below(100));
            let operation = match random.below(2) {
                0 => format!(r#""client":"c{client}","type":"read","key":{key}"#),
                _ => format!(
                    r#""client":"c{client}","type":"write","key":{key},"value":{}"#,
                    random.below(10_000)
                ),
            };
            format!(r#"{{"term":{term},"index":{index},"op":{{{operation}}}}}"#)
        };
        let entries: Vec<String> = (0..1 + self.below(64))
            .map(|index| entry(id * 64 + index, self))
            .collect();
        format!(
            r#"{{"src":"n1","dest":"n2","body":{{"type":"append_entries","msg_id":{id},"term":9,"leader_id":"n1","prev_log_index":{id},"entries":[{}]}}}}"#,
            entries.join(",")
        )
    }

    /// Coordinates with as many digits as floats have.
    fn floats(&mut self) -> String {
        let degrees = |random: &mut Random| {
            let degrees = random.below(360_000_000_000) as f64 / 1e9 - 180.0;
            format!("{degrees:.15}")
        };
        let pairs: Vec<String> = (0..20_000)
            .map(|_| format!("[{},{}]", degrees(self), degrees(self)))
            .collect();
        format!("[{}]", pairs.join(","))
    }

    /// Posts of a social network: long names, nesting, words in several scripts, a few escapes.
    fn posts(&mut self) -> String {
        let words = [
            "the ",
            "log ",
            "leader ",
            "選挙 ",
            "é",
            "\\n",
            "#raft ",
            "\\/",
            "term ",
            "https://example.org/",
        ];
        let post = |id: u64, random: &mut Random| {
            let text: String = (0..5 + random.below(20))
                .map(|_| random.pick(&words))
                .collect();
            let (followers, favourites) = (random.below(100_000), random.below(50));
            format!(
                r#"{{"created_at":"Sun Aug 31 00:29:15 +0000 2014","id":{},"text":"{text}","truncated":false,"in_reply_to_status_id":null,"user":{{"id":{id},"screen_name":"someone_{id}","followers_count":{followers},"protected":false,"profile_background_color":"C0DEED","description":"{text}"}},"geo":null,"favorite_count":{favourites},"entities":{{"hashtags":[],"urls":[{{"indices":[139,140]}}]}},"lang":"ja"}}"#,
                505_874_924_095_815_681 + id
            )
        };
        let posts: Vec<String> = (0..800).map(|id| post(id, self)).collect();
        format!(r#"{{"statuses":[{}]}}"#, posts.join(","))
    }

    /// Strings made of these pieces.
    fn strings(&mut self, pieces: &[&str]) -> String {
        let mut text = String::from("[");
        for _ in 0..4_000 {
            let string: String = (0..5 + self.below(50)).map(|_| self.pick(pieces)).collect();
            write!(text, "\"{string}\",").expect("writing to a String cannot fail");
        }
        text + "null]"
    }
}

fn indented(text: &str) -> String {
    json::to_string_pretty(&json::parse(text.as_bytes()).expect("valid"))
}
