//! The board in this process as any user of probe-rs sees it: through probe-rs's public interface, with its own flash
//! algorithm for the nRF51.

use std::time::Duration;

use powercut_emulator::Timing;
use powercut_probe::{CHIP, VirtualBoard};
use probe_rs::config::TargetSelector;
use probe_rs::flashing::{DownloadOptions, FlashError, FlashProgress};
use probe_rs::rtt::Rtt;
use probe_rs::{
    Core, CoreStatus, HaltReason, MemoryInterface, Permissions, RegisterId, Session,
    VectorCatchCondition,
};

const PATIENCE: Duration = Duration::from_secs(10);
const PROGRAM: u32 = 0x100;
const FAULT_HANDLER: u32 = 0x200;

fn attached(board: &VirtualBoard) -> Session {
    board.probe().attach(CHIP, Permissions::default()).unwrap()
}

/// Flashes and verifies data, as probe-rs does.
fn flash(session: &mut Session, address: u64, data: &[u8]) {
    let mut loader = session.target().flash_loader();
    loader.add_data(address, data).unwrap();
    let mut options = DownloadOptions::default();
    options.verify = true;
    loader.commit(session, options).unwrap();
}

/// An image whose program is this; its handler of faults hangs.
fn image(program: &[u16]) -> Vec<u8> {
    let mut image = vec![0xFF; 0x400];
    let vectors = [0x2000_4000, PROGRAM | 1, 0, FAULT_HANDLER | 1];
    for (place, vector) in image.chunks_exact_mut(4).zip(vectors) {
        place.copy_from_slice(&vector.to_le_bytes());
    }
    for (at, code) in [(PROGRAM, program), (FAULT_HANDLER, &[0xE7FE])] {
        let places = image[at as usize..].chunks_exact_mut(2);
        for (place, halfword) in places.zip(code) {
            place.copy_from_slice(&halfword.to_le_bytes());
        }
    }
    image
}

/// A board on which this program has been flashed, halted before its first instruction.
fn with_program(program: &[u16]) -> (VirtualBoard, Session) {
    let board = VirtualBoard::erased(Timing::Silicon);
    let mut session = attached(&board);
    flash(&mut session, 0, &image(program));
    session.core(0).unwrap().reset_and_halt(PATIENCE).unwrap();
    (board, session)
}

fn register(core: &mut Core<'_>, number: u16) -> u32 {
    core.read_core_reg(RegisterId(number)).unwrap()
}

fn halted_pc(core: &mut Core<'_>) -> u32 {
    core.wait_for_core_halted(PATIENCE).unwrap();
    register(core, 15)
}

/// loop: adds r0, #1; adds r1, #1; b loop
const COUNTS: [u16; 3] = [0x1C40, 0x1C49, 0xE7FC];

#[test]
fn an_image_is_flashed_verified_and_read_back_and_the_rest_of_flash_stays() {
    let board = VirtualBoard::erased(Timing::Silicon);
    let mut session = attached(&board);
    let first: Vec<u8> = (0..5000_u32).map(|at| (at * 7 / 8) as u8).collect();
    let began = board.now();
    flash(&mut session, 0x1000, &first);
    // Five pages, each erased in 22.3 ms.
    assert!(board.now() >= began + Duration::from_micros(5 * 22_300));
    flash(&mut session, 0x3_F000, b"the last page but three");
    let flash_now = board.flash();
    assert_eq!(flash_now[0x1000..][..5000], first);
    assert_eq!(&flash_now[0x3_F000..][..23], b"the last page but three");
    let written = |at: usize| (0x1000..0x2400).contains(&at) || (0x3_F000..0x3_F400).contains(&at);
    let untouched = |(at, byte): (usize, &u8)| written(at) || *byte == 0xFF;
    assert!(flash_now.iter().enumerate().all(untouched));
    let mut core = session.core(0).unwrap();
    let mut read = vec![0; 5000];
    core.read_8(0x1000, &mut read).unwrap();
    assert_eq!(read, first);
    core.read(0x1001, &mut read[..4997]).unwrap();
    assert_eq!(read[..4997], first[1..4998]);
    assert_eq!(
        core.read_word_16(0x1002).unwrap().to_le_bytes(),
        first[2..4]
    );
}

#[test]
fn verification_finds_a_byte_that_differs() {
    let board = VirtualBoard::erased(Timing::Instant);
    let mut session = attached(&board);
    let mut data = vec![0x5A; 1024];
    flash(&mut session, 0x2000, &data);
    let mut verify = |data: &[u8]| {
        let mut loader = session.target().flash_loader();
        loader.add_data(0x2000, data).unwrap();
        loader.verify(&mut session, &mut FlashProgress::empty())
    };
    verify(&data).unwrap();
    data[777] ^= 1;
    assert!(matches!(verify(&data), Err(FlashError::Verify)));
}

#[test]
fn the_chip_is_found_out_from_its_tables_and_its_identification() {
    let board = VirtualBoard::erased(Timing::Silicon);
    let session = board
        .probe()
        .attach(TargetSelector::Auto, Permissions::default())
        .unwrap();
    assert_eq!(session.target().name, CHIP);
}

#[test]
fn the_core_is_stepped_halted_and_run() {
    let (_board, mut session) = with_program(&COUNTS);
    let mut core = session.core(0).unwrap();
    assert_eq!(register(&mut core, 15), PROGRAM);
    for (pc, counts) in [(2, [1, 0]), (4, [1, 1]), (0, [1, 1]), (2, [2, 1])] {
        assert_eq!(core.step().unwrap().pc, u64::from(PROGRAM + pc));
        assert_eq!([0, 1].map(|r| register(&mut core, r)), counts);
    }
    core.run().unwrap();
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
    core.halt(PATIENCE).unwrap();
    let counted = register(&mut core, 0);
    assert!(counted > 1000, "it ran for {counted} rounds only");
    assert_eq!(
        core.status().unwrap(),
        CoreStatus::Halted(HaltReason::Request)
    );
    core.write_core_reg(RegisterId(0), 5_u32).unwrap();
    core.write_core_reg(RegisterId(15), PROGRAM).unwrap();
    core.step().unwrap();
    assert_eq!(register(&mut core, 0), 6);
}

#[test]
fn four_breakpoints_are_there_and_each_stops_every_time() {
    let (_board, mut session) = with_program(&COUNTS);
    let mut core = session.core(0).unwrap();
    assert_eq!(core.available_breakpoint_units().unwrap(), 4);
    for at in [2, 4, 0x80, 0x82] {
        core.set_hw_breakpoint(u64::from(PROGRAM + at)).unwrap();
    }
    assert!(core.set_hw_breakpoint(0x300).is_err());
    for round in 1..4 {
        for at in [2, 4] {
            core.run().unwrap();
            assert_eq!(halted_pc(&mut core), PROGRAM + at);
            assert!(matches!(
                core.status().unwrap(),
                CoreStatus::Halted(HaltReason::Breakpoint(_))
            ));
            assert_eq!(register(&mut core, 0), round);
        }
    }
    core.clear_hw_breakpoint(u64::from(PROGRAM + 2)).unwrap();
    core.run().unwrap();
    assert_eq!(halted_pc(&mut core), PROGRAM + 4);
}

#[test]
fn memory_is_read_and_written_while_the_core_runs() {
    // ldr r2, =0x20001000; loop: str r0, [r2]; adds r0, #1; b loop
    let (_board, mut session) = with_program(&[
        0x4A02, 0x6010, 0x1C40, 0xE7FC, 0xBF00, 0xBF00, 0x1000, 0x2000,
    ]);
    let mut core = session.core(0).unwrap();
    core.run().unwrap();
    let mut counted = || core.read_word_32(0x2000_1000).unwrap();
    let (first, second) = (counted(), counted());
    assert!(second > first, "{first} and then {second}");
    core.write_word_32(0x2000_2000, 0xCAFE_F00D).unwrap();
    core.write_word_8(0x2000_2001, 0x11).unwrap();
    assert_eq!(core.read_word_32(0x2000_2000).unwrap(), 0xCAFE_110D);
    assert!(core.read_word_32(0x6000_0000).is_err());
    // An access that failed does not stand in the way of the next one.
    assert_eq!(core.read_word_32(0x2000_2000).unwrap(), 0xCAFE_110D);
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
}

#[test]
fn a_hard_fault_is_caught_and_its_instruction_found() {
    // ldr r0, =0x60000000; ldr r0, [r0]
    let (_board, mut session) = with_program(&[0x4801, 0x6800, 0xE7FE, 0xBF00, 0x0000, 0x6000]);
    let mut core = session.core(0).unwrap();
    core.enable_vector_catch(VectorCatchCondition::HardFault)
        .unwrap();
    core.run().unwrap();
    assert_eq!(halted_pc(&mut core), FAULT_HANDLER);
    assert_eq!(
        core.status().unwrap(),
        CoreStatus::Halted(HaltReason::Exception)
    );
    let frame = register(&mut core, 17);
    let at = core.read_word_32(u64::from(frame) + 24).unwrap();
    assert_eq!(at, PROGRAM + 2);
}

#[test]
fn a_reset_starts_the_program_anew_and_can_be_caught() {
    let (_board, mut session) = with_program(&COUNTS);
    let mut core = session.core(0).unwrap();
    core.write_word_32(0x2000_0100, 0x600D_600D).unwrap();
    core.run().unwrap();
    let information = core.reset_and_halt(PATIENCE).unwrap();
    assert_eq!(information.pc, u64::from(PROGRAM));
    assert_eq!(register(&mut core, 0), 0);
    assert_eq!(register(&mut core, 13), 0x2000_4000);
    // RAM outlives a reset.
    assert_eq!(core.read_word_32(0x2000_0100).unwrap(), 0x600D_600D);
    core.reset().unwrap();
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
}

#[test]
fn blank_flash_locks_the_core_up_and_probe_rs_says_so_and_recovers_it() {
    let board = VirtualBoard::erased(Timing::Silicon);
    let mut session = attached(&board);
    let status = session.core(0).unwrap().status().unwrap();
    assert_eq!(status, CoreStatus::LockedUp);
    flash(&mut session, 0, &image(&COUNTS));
    let mut core = session.core(0).unwrap();
    core.reset().unwrap();
    assert_eq!(core.status().unwrap(), CoreStatus::Running);
}

#[test]
fn rtt_is_read_and_written_where_the_control_block_says() {
    let (_board, mut session) = with_program(&COUNTS);
    let mut core = session.core(0).unwrap();
    let (block, up, down) = (0x2000_0800, 0x2000_0900, 0x2000_0A00);
    core.write_8(block, &Rtt::RTT_ID).unwrap();
    let channels = [
        [1, 1].as_slice(),
        // name, buffer, size, written, read, flags
        &[0, up as u32, 64, 5, 0, 0],
        &[0, down as u32, 64, 0, 0, 0],
    ]
    .concat();
    core.write_32(block + 16, &channels).unwrap();
    core.write_8(up, b"hello").unwrap();
    core.run().unwrap();
    let mut rtt = Rtt::attach(&mut core).unwrap();
    let mut bytes = [0; 64];
    let count = rtt
        .up_channel(0)
        .unwrap()
        .read(&mut core, &mut bytes)
        .unwrap();
    assert_eq!(&bytes[..count], b"hello");
    let count = rtt
        .down_channel(0)
        .unwrap()
        .write(&mut core, b"ok")
        .unwrap();
    assert_eq!(count, 2);
    let mut written = [0; 2];
    core.read_8(down, &mut written).unwrap();
    assert_eq!(&written, b"ok");
}
