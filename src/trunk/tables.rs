//! The tables between SIP statuses and Q.850 causes, as data: what stands where, and whether we could read it.
//!
//! The texts of Q.1912.5 and 3GPP TS 29.163 were not at hand. Their rows are known from secondary sources that
//! agree with each other; they are marked as unverified, and `explain` says so.

/// Rows that stand together in one source.
#[derive(Debug)]
pub struct Group<K: 'static, V: 'static> {
    /// Document, section, and the heading there.
    pub source: &'static str,
    /// Whether the rows were compared with the text of the document.
    pub verified: bool,
    /// From and to.
    pub rows: &'static [(K, V)],
}

/// What holds for everything that has no row.
#[derive(Debug)]
pub struct Rest<V> {
    /// Document, section, and its words.
    pub source: &'static str,
    /// As in [`Group`].
    pub verified: bool,
    /// To.
    pub value: V,
}

/// Both directions of one profile.
#[derive(Debug)]
pub struct Tables {
    /// Cause to status of a final response.
    pub statuses: &'static [Group<u8, u16>],
    /// Causes without a row, by the highest cause that the entry is for.
    pub other_causes: &'static [(u8, Rest<u16>)],
    /// Status of a final response to cause.
    pub causes: &'static [Group<u16, u8>],
    /// Statuses without a row.
    pub other_statuses: Rest<u8>,
}

/// RFC 3398, both tables.
///
/// 22 stands without diagnostic (410). The RFC's second row "504 Version Not Supported" is 505. 487 has no row (it is the
/// echo of our own CANCEL).
pub const RFC_3398: Tables = Tables {
    statuses: &[
        Group {
            source: "RFC 3398 7.2.4.1, normal event",
            verified: true,
            rows: &[
                (1, 404),
                (2, 404),
                (3, 404),
                (17, 486),
                (18, 408),
                (19, 480),
                (20, 480),
                (21, 403),
                (22, 410),
                (23, 410),
                (26, 404),
                (27, 502),
                (28, 484),
                (29, 501),
                (31, 480),
            ],
        },
        Group {
            // The RFC has no status in this row, since the cause "will usually result in a BYE or CANCEL"; a caller who
            // still waits must be told something, and 480 is the nearest to "the callee is not there".
            source: "RFC 3398 7.2.4.1 gives no status for 16 before an answer; 480 is our choice",
            verified: true,
            rows: &[(16, 480)],
        },
        Group {
            source: "RFC 3398 7.2.4.1, resource unavailable",
            verified: true,
            rows: &[(34, 503), (38, 503), (41, 503), (42, 503), (47, 503)],
        },
        Group {
            source: "RFC 3398 7.2.4.1, service or option not available",
            verified: true,
            rows: &[(55, 403), (57, 403), (58, 503)],
        },
        Group {
            source: "RFC 3398 7.2.4.1, service or option not implemented",
            verified: true,
            rows: &[(65, 488), (70, 488), (79, 501)],
        },
        Group { source: "RFC 3398 7.2.4.1, invalid message", verified: true, rows: &[(87, 403), (88, 503)] },
        Group { source: "RFC 3398 7.2.4.1, protocol error", verified: true, rows: &[(102, 504), (111, 500)] },
        Group { source: "RFC 3398 7.2.4.1, interworking", verified: true, rows: &[(127, 500)] },
    ],
    other_causes: &[(
        127,
        Rest { source: "RFC 3398 7.2.4.1: a cause that is not listed SHOULD be 500", verified: true, value: 500 },
    )],
    causes: &[
        Group {
            source: "RFC 3398 8.2.6.1",
            verified: true,
            rows: &[
                (400, 41),
                (401, 21),
                (402, 21),
                (403, 21),
                (404, 1),
                (405, 63),
                (406, 79),
                (407, 21),
                (408, 102),
                (410, 22),
                (413, 127),
                (414, 127),
                (415, 79),
                (416, 127),
                (420, 127),
                (421, 127),
                (423, 127),
                (480, 18),
                (481, 41),
                (482, 25),
                (483, 25),
                (484, 28),
                (485, 1),
                (486, 17),
                (500, 41),
                (501, 79),
                (502, 38),
                (503, 41),
                (504, 102),
                (505, 127),
                (513, 127),
                (600, 17),
                (603, 21),
                (604, 1),
            ],
        },
        Group {
            source: "RFC 3398 8.2.6.1: by Warning header, 31 when it says nothing of a bearer",
            verified: true,
            rows: &[(488, 31), (606, 31)],
        },
    ],
    other_statuses: Rest {
        source: "RFC 3398 8.2.6.1: a status that is not listed should be 31",
        verified: true,
        value: 31,
    },
};

/// Q.1912.5 and 3GPP TS 29.163, which agree: few causes reach a SIP caller, and few statuses an exchange.
pub const Q_1912_5: Tables = Tables {
    statuses: &[
        Group {
            source: "Q.1912.5 and TS 29.163, cause to status",
            verified: false,
            rows: &[
                (1, 404),
                (2, 500),
                (3, 500),
                (16, 480),
                (17, 486),
                (18, 480),
                (19, 480),
                (20, 480),
                (21, 480),
                (22, 410),
                (24, 433),
                (27, 502),
                (28, 484),
                (31, 480),
                (102, 480),
                (127, 480),
            ],
        },
        Group {
            source: "Q.1912.5 and TS 29.163, 34 without the indicator that completion on busy is possible",
            verified: false,
            rows: &[(34, 480)],
        },
    ],
    other_causes: &[
        (31, Rest { source: "Q.1912.5 and TS 29.163, class normal", verified: false, value: 480 }),
        (111, Rest { source: "Q.1912.5 and TS 29.163, classes 010 to 110", verified: false, value: 500 }),
        (127, Rest { source: "Q.1912.5 and TS 29.163, class interworking", verified: false, value: 480 }),
    ],
    causes: &[Group {
        source: "Q.1912.5 and TS 29.163, status to cause",
        verified: false,
        rows: &[(404, 1), (410, 22), (480, 20), (484, 28), (486, 17), (600, 17), (603, 21), (604, 1)],
    }],
    other_statuses: Rest { source: "Q.1912.5 and TS 29.163: every other status is 127", verified: false, value: 127 },
};

/// The short name of each cause in Q.850, for Reason text, logs and `explain`.
pub const NAMES: &[(u8, &str)] = &[
    (1, "Unallocated (unassigned) number"),
    (2, "No route to specified transit network"),
    (3, "No route to destination"),
    (4, "Send special information tone"),
    (5, "Misdialled trunk prefix"),
    (6, "Channel unacceptable"),
    (7, "Call awarded and being delivered in an established channel"),
    (8, "Preemption"),
    (9, "Preemption - circuit reserved for reuse"),
    (16, "Normal call clearing"),
    (17, "User busy"),
    (18, "No user responding"),
    (19, "No answer from user (user alerted)"),
    (20, "Subscriber absent"),
    (21, "Call rejected"),
    (22, "Number changed"),
    (23, "Redirection to new destination"),
    (24, "Call rejected due to feature at the destination"),
    (25, "Exchange routing error"),
    (26, "Non-selected user clearing"),
    (27, "Destination out of order"),
    (28, "Invalid number format (address incomplete)"),
    (29, "Facility rejected"),
    (30, "Response to STATUS ENQUIRY"),
    (31, "Normal, unspecified"),
    (34, "No circuit/channel available"),
    (38, "Network out of order"),
    (39, "Permanent frame mode connection out of service"),
    (40, "Permanent frame mode connection operational"),
    (41, "Temporary failure"),
    (42, "Switching equipment congestion"),
    (43, "Access information discarded"),
    (44, "Requested circuit/channel not available"),
    (46, "Precedence call blocked"),
    (47, "Resource unavailable, unspecified"),
    (49, "Quality of service not available"),
    (50, "Requested facility not subscribed"),
    (53, "Outgoing calls barred within CUG"),
    (55, "Incoming calls barred within CUG"),
    (57, "Bearer capability not authorized"),
    (58, "Bearer capability not presently available"),
    (62, "Inconsistency in designated outgoing access information and subscriber class"),
    (63, "Service or option not available, unspecified"),
    (65, "Bearer capability not implemented"),
    (66, "Channel type not implemented"),
    (69, "Requested facility not implemented"),
    (70, "Only restricted digital information bearer capability is available"),
    (79, "Service or option not implemented, unspecified"),
    (81, "Invalid call reference value"),
    (82, "Identified channel does not exist"),
    (83, "A suspended call exists, but this call identity does not"),
    (84, "Call identity in use"),
    (85, "No call suspended"),
    (86, "Call having the requested call identity has been cleared"),
    (87, "User not member of CUG"),
    (88, "Incompatible destination"),
    (90, "Non-existent CUG"),
    (91, "Invalid transit network selection"),
    (95, "Invalid message, unspecified"),
    (96, "Mandatory information element is missing"),
    (97, "Message type non-existent or not implemented"),
    (98, "Message not compatible with call state or message type non-existent or not implemented"),
    (99, "Information element/parameter non-existent or not implemented"),
    (100, "Invalid information element contents"),
    (101, "Message not compatible with call state"),
    (102, "Recovery on timer expiry"),
    (103, "Parameter non-existent or not implemented, passed on"),
    (110, "Message with unrecognized parameter, discarded"),
    (111, "Protocol error, unspecified"),
    (127, "Interworking, unspecified"),
];
