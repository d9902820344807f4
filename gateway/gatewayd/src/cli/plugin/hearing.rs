//! What rules hear through derived streams, before and after a change of plugins: whoever switches a stream off, or takes it out, is told
//! which rules go deaf.

use std::collections::BTreeSet;

use pitchside_rules::RuleSet;

use crate::cli::Outcome;
use crate::cli::context::Context;
use crate::cli::output::note;
use crate::plugins::deaf::{heard, rules_in};
use crate::plugins::wanted::Inventory;

/// What the rules in force hear through streams.
pub(super) struct Hearing {
    rules: RuleSet,
    heard: BTreeSet<(String, &'static str)>,
}

impl Hearing {
    /// As it is now.
    pub fn now(context: &Context) -> anyhow::Result<Self> {
        let rules = rules_in(context.settings.rules.dir.as_deref());
        let heard = heard(&rules, &inventory(context)?);
        Ok(Self { rules, heard })
    }

    /// Says what they hear no more.
    pub fn tell_lost(&self, context: &Context) -> Outcome {
        let heard = heard(&self.rules, &inventory(context)?);
        for (rule, quantity) in self.heard.difference(&heard) {
            note(&format!(
                "the rule {rule} hears no {quantity} from now on: no plugin that runs makes it, and only a sensor that sends it would do"
            ));
        }
        Ok(())
    }
}

fn inventory(context: &Context) -> anyhow::Result<Inventory> {
    Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)
}
