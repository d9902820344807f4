//! Bytes of a character display: a Hitachi HD44780U in its 4-bit mode behind an NXP PCF8574, as on the usual "I2C backpack".
//!
//! ```text
//! PCF8574 pin    P7 P6 P5 P4   P3         P2      P1          P0
//! display        D7 D6 D5 D4   backlight  enable  read/write  register: 0 command, 1 character
//! ```
//! The display takes four bits when enable falls, so each half of a byte is written twice: enable high, enable low. At the bus's
//! 100 kHz a byte takes 90 us, longer than all but two commands (HD44780U, table 6): for those and for the reset by instruction
//! (figure 24) the times to wait are given. Backpacks wired otherwise are not for this.

use std::time::Duration;

const BACKLIGHT: u8 = 0x08;
const ENABLE: u8 = 0x04;
const CHARACTER: u8 = 0x01;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Write these to the PCF8574, in one transfer.
    Write(Vec<u8>),
    /// Wait at least so long.
    Wait(Duration),
}

/// Where each line begins in the display's memory; on displays of 20 columns the first goes on in the third, the second in the fourth.
const LINE_AT: [u8; 4] = [0x00, 0x40, 0x14, 0x54];

fn half(out: &mut Vec<u8>, bits: u8, register: u8) {
    let port = (bits & 0xf0) | BACKLIGHT | register;
    out.extend([port | ENABLE, port]);
}

fn byte(out: &mut Vec<u8>, byte: u8, register: u8) {
    half(out, byte, register);
    half(out, byte << 4, register);
}

fn command(command: u8) -> Act {
    let mut out = Vec::with_capacity(4);
    byte(&mut out, command, 0);
    Act::Write(out)
}

/// A character as the ROM A00 has it: ASCII but for `\` and `~`, and a few beside; `?` for what it has not.
fn character(c: char) -> u8 {
    match c {
        '\\' => b'/',
        '~' => b'-',
        ' '..='}' => u8::try_from(c).unwrap_or(b'?'),
        '°' => 0xdf,
        'µ' => 0xe4,
        'ä' | 'Ä' => 0xe1,
        'ö' | 'Ö' => 0xef,
        'ü' | 'Ü' => 0xf5,
        'ß' => 0xe2,
        '–' | '—' => b'-',
        _ => b'?',
    }
}

/// Everything from whatever state the display is in to these lines on it, the backlight on. It begins anew each time, so a display that
/// was unplugged, or lost count of the halves, shows what it should at the next.
pub fn show(lines: &[String]) -> Vec<Act> {
    let reset = |bits: u8| {
        let mut out = Vec::with_capacity(2);
        half(&mut out, bits, 0);
        Act::Write(out)
    };
    let micros = |n| Act::Wait(Duration::from_micros(n));
    let mut acts = vec![
        micros(50_000),
        // Figure 24: three times "8 bits", whatever state it is in; then 4 bits.
        reset(0x30),
        micros(4_500),
        reset(0x30),
        micros(150),
        reset(0x30),
        micros(150),
        reset(0x20),
        micros(150),
        command(0x28), // 4 bits, two lines (four are two long ones), 5x8 dots
        command(0x08), // display off
        command(0x01), // clear
        micros(2_000),
        command(0x06), // the cursor goes right
    ];
    for (line, at) in lines.iter().zip(LINE_AT) {
        let mut out = Vec::with_capacity(4 + 4 * line.len());
        byte(&mut out, 0x80 | at, 0);
        line.chars().for_each(|c| byte(&mut out, character(c), CHARACTER));
        acts.push(Act::Write(out));
    }
    acts.push(command(0x0c)); // display on, no cursor
    acts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A display as the datasheet describes it: takes halves when enable falls.
    #[derive(Default)]
    struct Display {
        port: u8,
        four_bits: bool,
        first: Option<u8>,
        at: usize,
        on: bool,
        cells: Vec<u8>,
        light: bool,
    }

    impl Display {
        /// One that was in this state before: 8 bits as after power, or 4 with perhaps a half of a byte taken already.
        fn of(state: Option<Option<u8>>, acts: &[Act]) -> Self {
            let (four_bits, first) = (state.is_some(), state.flatten());
            let mut display = Self { cells: vec![0; 128], four_bits, first, ..Self::default() };
            for act in acts {
                if let Act::Write(bytes) = act {
                    bytes.iter().for_each(|port| display.write(*port));
                }
            }
            display
        }

        fn write(&mut self, port: u8) {
            let falls = self.port & ENABLE != 0 && port & ENABLE == 0;
            // Table 7: what is taken must not change while enable falls.
            assert!(!falls || (self.port ^ port) == ENABLE, "{:02x} to {port:02x}", self.port);
            assert_eq!(port & 0x02, 0, "nothing is ever read");
            self.port = port;
            self.light = port & BACKLIGHT != 0;
            if !falls {
                return;
            }
            let bits = port & 0xf0;
            if !self.four_bits {
                self.four_bits = bits == 0x20;
                return;
            }
            match self.first.take() {
                None => self.first = Some(bits),
                Some(first) => self.take(first | bits >> 4, port & CHARACTER != 0),
            }
        }

        fn take(&mut self, byte: u8, character: bool) {
            match byte {
                _ if character => {
                    self.cells[self.at] = byte;
                    self.at += 1;
                }
                0x01 => (self.cells, self.at) = (vec![b' '; 128], 0),
                0x80.. => self.at = usize::from(byte & 0x7f),
                0x20..=0x3f => self.four_bits = byte & 0x10 == 0,
                0x08..=0x0f => self.on = byte & 0x04 != 0,
                _ => {}
            }
        }

        fn line(&self, number: usize) -> String {
            let at = usize::from(LINE_AT[number]);
            self.cells[at..at + 20].iter().map(|b| char::from(*b)).collect::<String>().trim_end().to_owned()
        }
    }

    #[test]
    fn the_reset_by_instruction_is_that_of_the_datasheet() {
        let acts = show(&[]);
        let ports: Vec<u8> = acts
            .iter()
            .filter_map(|act| if let Act::Write(b) = act { Some(b.clone()) } else { None })
            .flatten()
            .collect();
        // Each half with enable high, then low, the backlight on: 3, 3, 3, 2, then 28, 08, 01, 06, 0C in halves.
        let halves: Vec<u8> = ports.chunks(2).map(|pair| pair[0] >> 4).collect();
        assert_eq!(halves, [3, 3, 3, 2, 2, 8, 0, 8, 0, 1, 0, 6, 0, 0xc]);
        assert!(ports.chunks(2).all(|pair| pair[0] == pair[1] | ENABLE && pair[1] & 0x0f == BACKLIGHT), "{ports:02x?}");
        let waited = |at: usize| match &acts[at] {
            Act::Wait(time) => time.as_micros(),
            Act::Write(_) => 0,
        };
        // Figure 24: more than 40 ms after power, 4.1 ms, 100 us; table 6: 1.52 ms for a clear.
        assert!(waited(0) > 40_000 && waited(2) > 4_100 && waited(4) > 100 && waited(12) > 1_520, "{acts:?}");
        assert_eq!(acts[1], Act::Write(vec![0x3c, 0x38]));
    }

    #[test]
    fn four_lines_stand_where_they_should() {
        let lines = ["HIGH heat-illness", "zebra", "21 \u{b0}C ~ \\ \u{e4}", "four"].map(str::to_owned);
        let display = Display::of(None, &show(&lines));
        assert!(display.on && display.light && display.first.is_none());
        assert_eq!([display.line(0), display.line(1), display.line(3)], ["HIGH heat-illness", "zebra", "four"]);
        assert_eq!(display.line(2), "21 \u{df}C - / \u{e1}");
    }

    proptest! {
        #[test]
        fn a_display_that_lost_count_shows_the_next_text_all_the_same(
            state in proptest::option::of(proptest::option::of((0..16u8).prop_map(|bits| bits << 4))),
            lines in proptest::collection::vec("[ -}]{0,20}", 0..5),
        ) {
            let display = Display::of(state, &show(&lines));
            for (number, line) in lines.iter().enumerate() {
                let expected = line.replace('\\', "/");
                prop_assert_eq!(display.line(number), expected.trim_end());
            }
        }
    }
}
