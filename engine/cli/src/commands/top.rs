//! `top`.

use serde_json::Value;

use crate::client::{Client, segment};
use crate::table;

/// Display the running processes of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    container: String,
    /// Options of ps
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ps OPTIONS")]
    options: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, client: &Client) -> anyhow::Result<u8> {
        let options = self.options.join(" ");
        let query: Vec<_> = (!options.is_empty()).then_some(("ps_args", options)).into_iter().collect();
        let answer = client.get(&format!("/containers/{}/top", segment(&self.container)), &query).await?;
        let words = |row: &Value| -> Vec<String> {
            row.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut rows = vec![words(&answer["Titles"])];
        rows.extend(answer["Processes"].as_array().into_iter().flatten().map(words));
        say_raw!("{}", table::align_wide(&rows, 20));
        Ok(0)
    }
}
