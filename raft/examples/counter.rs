//! Counts up a key, exactly once for each run, whatever nodes fail meanwhile.
//!
//! ```sh
//! raft cluster &
//! cargo run -p raft --example counter -- 127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103
//! ```

use std::env;

use json::value;
use raft::client::{Client, Error, Options};

fn main() -> Result<(), Error> {
    let nodes = env::args().nth(1).unwrap_or("127.0.0.1:7101".into());
    let mut client = Client::new(Options::to(nodes.split(',')));
    let key = value!("counter");
    loop {
        let Some(count) = client.get(&key)? else {
            client.set(&key, &value!(0))?;
            continue;
        };
        let next = value!(count.as_i64().unwrap_or(0) + 1);
        match client.cas(&key, &count, &next) {
            Ok(()) => {
                println!("{next}");
                client.close();
                return Ok(());
            }
            // Another program was faster.
            Err(Error::Rejected { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
