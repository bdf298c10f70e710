//! `tidebase token reset-admin`: a new admin token for a database that is not being served.

use crate::auth::{self, secret};
use crate::cli::DatabaseArgs;
use crate::config;
use tidebase_engine::{Engine, Error, Result};

pub fn reset_admin(args: &DatabaseArgs) -> Result<()> {
    let path = config::database(args.db.as_ref())?;
    if !path.exists() {
        return Err(Error::not_found(format!("There is no database {}.", config::display(&path))));
    }
    let engine = Engine::open(config::opening(path)?)?;
    let token = secret::new_token("tide_admin_")?;
    let hash = secret::stored(&secret::hash(&token));
    crate::runtime()?.block_on(engine.set_setting(auth::SETTING, Some(hash)))?;
    engine.close();
    println!("New admin token, shown this once:  {token}");
    if std::env::var_os("TIDEBASE_ADMIN_TOKEN").is_some() {
        println!("Mind that TIDEBASE_ADMIN_TOKEN is set here: a server started with it uses that one instead.");
    }
    Ok(())
}
