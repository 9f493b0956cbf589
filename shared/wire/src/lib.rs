//! Subjects, envelope and bytes: MessagePack inside, JSON toward applications.
