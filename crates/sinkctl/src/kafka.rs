//! What the commands that read Kafka have in common.

/// Properties of the Kafka client that the commands set as they need them, so that nobody may give others.
const RESERVED: [&str; 6] = [
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    // Another name of `bootstrap.servers`.
    "metadata.broker.list",
];

/// The first of the given properties that may not be given, to a command that sets `others` too.
pub(crate) fn reserved_property<'a>(
    properties: &'a [(String, String)],
    others: &[&str],
) -> Option<&'a str> {
    let mut names = properties.iter().map(|(name, _)| name.as_str());
    names.find(|name| RESERVED.contains(name) || others.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_may_not_be_given() {
        #[track_caller]
        fn check(names: &[&str], reserved: Option<&str>) {
            let property = |name: &&str| ((*name).to_owned(), "x".to_owned());
            let properties: Vec<_> = names.iter().map(property).collect();
            assert_eq!(reserved_property(&properties, &["compression.codec"]), reserved);
        }

        check(&[], None);
        check(&["security.protocol", "client.id", "group.id"], None);
        for name in RESERVED.into_iter().chain(["compression.codec"]) {
            check(&["sasl.username", name, "bootstrap.servers"], Some(name));
        }
    }
}
