//! What is remembered, and for how long.

use super::*;
use crate::name::Name;

fn told(generation: u64) -> Arc<Told> {
    let name = Name::parse("driver").expect("a name");
    Arc::new(Told {
        generation,
        audience: name.clone(),
        pool: name,
        fallback: None,
        labels: Arc::default(),
    })
}

fn request(id: &str, second: u64, told: &Arc<Told>) -> Remembered {
    Remembered {
        request_id: Brief::of(id.as_bytes()),
        path: Brief::of(b"/orders"),
        method: brief_method(Some(&Method::GET)),
        operation: None,
        told: told.clone(),
        rule: None,
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
        client: Client::Unix,
        status: Some(StatusCode::OK),
        outcome: Outcome::Served,
        fault: None,
        bytes_in: 0,
        bytes_out: 0,
        times: Times::default(),
        tries: Tries::default(),
        away: false,
    }
}

fn failed(id: &str, second: u64, told: &Arc<Told>) -> Remembered {
    Remembered { fault: Some(Fault::UpstreamBroke), ..request(id, second, told) }
}

fn seconds(memory: &Memory, id: &str) -> Vec<u64> {
    let since = |it: &Remembered| it.at.duration_since(SystemTime::UNIX_EPOCH);
    memory.find(id).iter().map(|it| since(it).expect("after the epoch").as_secs()).collect()
}

#[test]
fn what_went_wrong_is_remembered_however_much_goes_well_afterwards() {
    let (memory, told) = (Memory::new(2, 2_000), told(1));
    memory.keep(1, failed("broken", 1, &told));
    for n in 0..10_000 {
        memory.keep(n % 2, request(&format!("well-{n}"), n as u64, &told));
    }
    assert_eq!(seconds(&memory, "broken"), [1]);
    assert_eq!(seconds(&memory, "well-9999"), [9_999]);
    assert_eq!(seconds(&memory, "well-8999"), [0; 0], "500 of each worker are kept");
    let reach = memory.reach();
    let well = SystemTime::UNIX_EPOCH + Duration::from_secs(8_999);
    assert_eq!(reach, Reach { well: Some(well), wrong: None });
}

#[test]
fn an_id_that_came_twice_is_told_twice_the_last_one_first() {
    let (memory, told) = (Memory::new(3, 30), told(1));
    memory.keep(0, request("again", 5, &told));
    memory.keep(2, failed("again", 9, &told));
    memory.keep(1, request("other", 7, &told));
    assert_eq!(seconds(&memory, "again"), [9, 5]);
    let long = "x".repeat(128);
    memory.keep(1, request(&long, 11, &told));
    assert_eq!(seconds(&memory, &long), [11]);
    assert_eq!(seconds(&memory, &long[1..]), [0; 0]);
}

#[test]
fn few_configurations_are_held_on_to_however_many_there_were() {
    let memory = Memory::new(1, 1_000);
    let generations: Vec<_> = (1..=100).map(told).collect();
    for told in &generations {
        memory.keep(0, request("id", told.generation, told));
    }
    let held = generations.iter().filter(|told| Arc::strong_count(told) > 1).count();
    assert_eq!(held, 8);
    assert_eq!(seconds(&memory, "id").len(), 8);
}

#[test]
fn nothing_is_remembered_where_there_is_no_room() {
    let memory = Memory::new(2, 0);
    memory.keep(0, request("id", 1, &told(1)));
    assert!(!memory.is_on() && memory.find("id").is_empty());
}

#[test]
fn times_and_texts_keep_what_fits() {
    for time in [None, Some(Duration::ZERO), Some(Duration::from_micros(312))] {
        assert_eq!(Short::from(time).get(), time);
    }
    let most = Short::from(Some(Duration::from_secs(1 << 20))).get().expect("it was long");
    assert_eq!(most.as_secs() / 60, 71);
    assert_eq!(Brief::<4>::of(b"abcd").text(), "abcd");
    assert_eq!(Brief::<4>::of(b"abcde").text(), "abcd…");
    assert_eq!(Brief::<4>::of("aäö".as_bytes()).text(), "aä\u{fffd}…");
    let mut tries = Tries::default();
    (0..9).for_each(|endpoint| tries.begin(endpoint));
    tries.end(Ended::Answered);
    let endpoints: Vec<_> = tries.all().iter().map(|it| it.endpoint).collect();
    assert_eq!(endpoints, [0, 1, 2, 8], "the last one is always there");
    assert_eq!(tries.all()[3].ended, Ended::Answered);
}
