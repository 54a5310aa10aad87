//! Which file is evidence for which control, and for what not.

/// A control, and what of the report bears on it.
pub(super) struct Control {
    /// Its number in SOC 2 (2017 Trust Services Criteria, with the points of focus of 2022).
    pub(super) soc2: &'static str,
    /// Its numbers in ISO/IEC 27001:2022, Annex A.
    pub(super) iso: &'static str,
    /// What it is about, in a few words of ours.
    pub(super) about: &'static str,
    /// The files to look into.
    pub(super) files: &'static [&'static str],
    /// What they show.
    pub(super) shows: &'static str,
    /// What has to be shown by other means.
    pub(super) lacks: &'static str,
}

/// The map.
pub(super) const CONTROLS: &[Control] = &[
    Control {
        soc2: "CC6.1",
        iso: "A.5.15, A.8.3, A.8.5",
        about: "Access is restricted by rules, and people prove who they are",
        files: &["changes.csv", "reads.csv", "actions.csv"],
        shows: "Every rule that was in force (the declarations, whole, in the entries of changes.csv), every value \
                that was obtained and by whom, and how often access was refused.",
        lacks: "How the identity provider checks people; access to systems that get their secrets elsewhere.",
    },
    Control {
        soc2: "CC6.2",
        iso: "A.5.16, A.5.18",
        about: "People are registered and authorised before they get access, and lose it when they leave",
        files: &["joiners.csv", "leavers.csv", "grants.csv"],
        shows: "Who joined with which groups, who asked for a right and who else approved it, and for each leaver \
                the time from the event to the last credential.",
        lacks: "That the identity provider or the administrator heard of a leaver in time: compare the first column \
                with the records of the personnel department.",
    },
    Control {
        soc2: "CC6.3",
        iso: "A.5.3, A.5.18, A.8.2",
        about: "Rights follow roles, are as small as they can be, and duties are kept apart",
        files: &["movers.csv", "grants.csv", "changes.csv"],
        shows: "What changed for movers, that rights for a time ended, that nobody approved a request of her own, and \
                every change of administrators.",
        lacks: "Whether the roles are the right ones: the review of the declarations by their owners.",
    },
    Control {
        soc2: "CC6.6, CC6.7",
        iso: "A.5.17, A.8.24",
        about: "Secrets are protected and changed once they are known to somebody who should not know them",
        files: &["leavers.csv", "reads.csv"],
        shows: "For each leaver how many values she knew and how many of these were replaced.",
        lacks: "How values are protected where they are used.",
    },
    Control {
        soc2: "CC7.2, CC7.3",
        iso: "A.8.15, A.8.16, A.8.17",
        about: "What happens is recorded, the record is protected, and gaps are noticed",
        files: &["bundle.ndjson", "checkpoint.txt", "outages.csv"],
        shows: "Every entry of the period, that none was changed, left out or put in since it was signed, and when no \
                server was there to act.",
        lacks: "Who looks at the record, and what follows from it.",
    },
    Control {
        soc2: "CC8.1",
        iso: "A.8.9, A.8.32",
        about: "Changes are authorised and traceable",
        files: &["changes.csv"],
        shows: "Every change of what is declared, with who applied it and the digest of the files.",
        lacks: "The review of these files before they were applied: it is in their repository.",
    },
];
