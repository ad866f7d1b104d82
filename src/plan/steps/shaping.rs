//! Limiting how fast a link sends (tc-tbf(8)).

use super::links::{Where, explained};
use crate::error::{Doing, Result};
use crate::net::link;
use crate::net::shaping::{self, Rate};
use crate::plan::{Context, Explanation, Shell, Step};

/// Puts a token bucket in front of a link, or takes it away. It goes with the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRate {
    /// On which side.
    pub side: Where,
    /// The name of the link.
    pub link: String,
    /// The limit; none takes it away.
    pub rate: Option<Rate>,
}

impl Step for LimitRate {
    fn perform(&self, cx: &mut Context) -> Result<()> {
        let mut connection = self.side.connect(cx)?;
        let found = link::named(&mut connection, &self.link);
        let index = found.doing_to("cannot find the link", &self.link)?.index;
        let done = match self.rate {
            Some(rate) => shaping::limit(&mut connection, index, rate),
            None => shaping::unlimit(&mut connection, index),
        };
        done.map_err(|refusal| {
            let doing = format!("cannot limit the rate of {}", self.link);
            explained(refusal, doing, Some("sch_tbf"))
        })
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        let place = self.side.shown();
        let Some(rate) = self.rate else {
            return Explanation::new(
                format!("RTM_DELQDISC(dev={:?}){place}", self.link),
                "the link sends as fast as it can again",
                "the limit would stay as long as the link",
                "tc-tbf(8)",
            );
        };
        Explanation::new(
            format!(
                "RTM_NEWQDISC(dev={:?}, kind=tbf, rate={rate}, burst={}){place}",
                self.link,
                rate.burst(),
            ),
            "a bucket that fills at this rate: what finds it empty waits, and is dropped where too much waits",
            "the wire is as fast as memory is copied",
            "tc-tbf(8)",
        )
    }

    fn shell(&self) -> Shell {
        match &self.side {
            Where::Here => Shell::Option {
                applet: "veth",
                words: vec![
                    "rate".into(),
                    (&self.link).into(),
                    self.rate
                        .map_or_else(|| "none".into(), |rate| rate.to_string())
                        .into(),
                ],
            },
            // `veth rate` limits both ends.
            Where::There(..) => Shell::Implied,
        }
    }
}
