//! `keygen`.

use super::args::KeygenArgs;
use super::{Ended, USAGE, usage};
use crate::nats::Seed;
use crate::os::{clock, files};

pub fn keygen(args: KeygenArgs) -> Ended {
    let seed = if args.public {
        Seed::read(&args.file).map_err(usage)?.0
    } else {
        let seed = Seed::from_random(clock::random());
        let text = format!("{}\n", seed.reveal());
        files::create(&args.file, text.as_bytes()).map_err(|why| (USAGE, format!("{}: {why}", args.file.display())))?;
        seed
    };
    println!("{}", seed.public_key());
    Ok(0)
}
