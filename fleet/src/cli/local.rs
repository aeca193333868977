//! The commands that connect to nothing: `keygen`, `hold` and `release`.

use std::path::Path;

use super::Ended;
use super::args::{HoldArgs, KeygenArgs};
use crate::host::{StateArgs, hold};
use crate::nats::Seed;
use crate::os::{Exit, clock, files};

fn denied(path: &Path) -> impl Fn(std::io::Error) -> Exit {
    move |why| Exit(2, format!("{}: {why}", path.display()))
}

pub fn keygen(args: &KeygenArgs) -> Ended {
    let seed = match args.public {
        true => Seed::read(&args.file)?,
        false => Seed::from_random(clock::random()),
    };
    if !args.public {
        let text = format!("{}\n", seed.reveal());
        files::create(&args.file, text.as_bytes()).map_err(denied(&args.file))?;
    }
    println!("{}", seed.public_key());
    Ok(0)
}

pub fn hold(args: &HoldArgs) -> Ended {
    hold::hold(args.state.folder(), &args.reason).map_err(denied(args.state.folder()))?;
    println!("deploys are held; release them with: homelab-deploy release");
    Ok(0)
}

pub fn release(args: &StateArgs) -> Ended {
    hold::release(args.folder()).map_err(denied(args.folder()))?;
    println!("deploys are taken again");
    Ok(0)
}
