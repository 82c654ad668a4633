//! The calls of librdkafka that the safe client does not wrap. The only unsafe code in Hark.

#![expect(unsafe_code, reason = "each block calls one C function and says why that is sound")]

use std::ffi::CString;
use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError as _, RDKafkaErrorCode};

/// The low and high watermark of a partition as its last fetch response told them: no network call,
/// and the true high watermark where a query under `read_committed` gives the last stable offset.
/// `None` before the first fetch.
pub(super) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client outlives the call, the topic is a NUL-terminated string that outlives it
    // too, and both out-pointers point to live integers.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (!error.is_error() && low >= 0 && high >= 0).then_some((low, high))
}

/// Commits the offsets and waits for the answer, until `enough` says so: the safe client's synchronous
/// commit has no bound of its own.
pub(super) fn commit<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
    enough: &mut dyn FnMut() -> bool,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the client outlives the queue, which is destroyed below on every path.
    let queue = unsafe { sys::rd_kafka_queue_new(client.native_ptr()) };
    // SAFETY: client, list and queue are live; the list is copied by the call; no callback is given.
    let refused = unsafe {
        sys::rd_kafka_commit_queue(client.native_ptr(), offsets.ptr(), queue, None, ptr::null_mut())
    };
    let answer = if refused.is_error() {
        Err(refused.into())
    } else {
        loop {
            // SAFETY: the queue is live; a null event means that the 50 ms ran out.
            let event = unsafe { sys::rd_kafka_queue_poll(queue, 50) };
            if !event.is_null() {
                let answer = commit_answer(event);
                // SAFETY: the event came from the poll above and is not used after this.
                unsafe { sys::rd_kafka_event_destroy(event) };
                break answer;
            }
            if enough() {
                break Err(RDKafkaErrorCode::OperationTimedOut);
            }
        }
    };
    // SAFETY: the queue was created above; a late answer is dropped with it.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    answer
}

/// The error of a commit as a whole, else the first of a single partition.
fn commit_answer(event: *mut sys::rd_kafka_event_t) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: the caller passes a live event.
    let error = unsafe { sys::rd_kafka_event_error(event) };
    if error.is_error() {
        return Err(error.into());
    }
    // SAFETY: the event is live; the list belongs to it, or is null for another kind of event.
    let list = unsafe { sys::rd_kafka_event_topic_partition_list(event) };
    if list.is_null() {
        return Ok(());
    }
    // SAFETY: the list is live as long as the event, and holds `cnt` elements at `elems`.
    let partitions = unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        if count == 0 { &[] } else { std::slice::from_raw_parts((*list).elems, count) }
    };
    match partitions.iter().find(|partition| partition.err.is_error()) {
        Some(partition) => Err(partition.err.into()),
        None => Ok(()),
    }
}

/// How long the mock cluster waits for further members before a group's first assignment; its
/// default of 3 s would be most of what a newcomer sees of Hark's start.
pub(super) fn set_mock_rebalance_delay<C: ClientContext>(client: &Client<C>, delay: Duration) {
    // SAFETY: the client is live; null means that it has no mock cluster.
    let cluster = unsafe { sys::rd_kafka_handle_mock_cluster(client.native_ptr()) };
    if !cluster.is_null() {
        let millis = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the cluster belongs to the live client and outlives the call.
        unsafe { sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, millis) };
    }
}
