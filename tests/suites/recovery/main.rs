//! Disaster recovery, object by object: every way by which new keys land, and every look at what there is.

mod copies;
