//! Core temperature in the heat: the Predicted Heat Strain model of ISO 7933:2004.
//!
//! A published heat-balance model: Malchaire, Piette, Kampmann et al., "Development and validation of the predicted heat
//! strain model", Ann. Occup. Hyg. 45 (2001) 123-135; equations and examples in ISO 7933:2004, clauses 6 to 8 and annexes
//! A, C, D, F. One step is a minute; the body is a core and a skin, sweat and skin temperature follow with time constants of
//! 10 and 3 minutes, and rectal temperature follows the core. Symbols are the standard's where it has them.
//!
//! The standard covers metabolic rates of 100 to 450 W/m2 (450 is hard running), air of 15 to 50 Cel and clothing of 0.1
//! to 1 clo; [`Athlete::new`] refuses what lies outside.

/// Where the athlete is, and doing what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Climate {
    /// Air temperature, Cel.
    pub air_cel: f64,
    /// Mean radiant temperature, Cel: above the air's in the sun.
    pub radiant_cel: f64,
    /// Relative humidity, per cent.
    pub humidity_percent: f64,
    /// Air velocity, m/s.
    pub wind_mps: f64,
    /// Metabolic rate, W/m2 of body surface.
    pub metabolic_wpm2: f64,
    /// Static clothing insulation, clo.
    pub clothing_clo: f64,
    /// Used to the heat: sweats more, and over the whole skin.
    pub acclimatised: bool,
    /// Standing or walking, against sitting.
    pub standing: bool,
}

/// Outside the range the standard covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is outside the range of ISO 7933:2004, annex A")]
pub struct OutOfRange(&'static str);

const WEIGHT_KG: f64 = 75.0;
const HEIGHT_M: f64 = 1.8;
/// Moisture permeability of clothing, static.
const PERMEABILITY: f64 = 0.38;
/// What the clothing reflects: covered fraction of the body and its emissivity (annex D).
const COVERED: f64 = 0.54;
const EMISSIVITY: f64 = 0.97;

/// One athlete's temperatures, minute by minute.
#[derive(Debug, Clone)]
pub struct Athlete {
    climate: Climate,
    balance: Balance,
    skin_cel: f64,
    core_cel: f64,
    /// Core temperature that belongs to the metabolic rate alone.
    equilibrium_cel: f64,
    rectal_cel: f64,
    /// Weight of the skin in the mean body temperature.
    skin_weight: f64,
    sweat_wpm2: f64,
    lost_wpm2_min: f64,
}

/// What does not change from minute to minute.
#[derive(Debug, Clone, Copy)]
struct Balance {
    vapour_kpa: f64,
    /// W.min/(m2.K): heat a minute's warming of the body by 1 K takes.
    capacity: f64,
    sweat_wpm2_max: f64,
    wettedness_max: f64,
    area_factor: f64,
    clothing_dynamic: f64,
    vapour_resistance: f64,
    respiration_wpm2: f64,
    convection: f64,
    radiation_factor: f64,
}

impl Athlete {
    /// At rest in the shade, about to begin.
    pub fn new(climate: Climate) -> Result<Self, OutOfRange> {
        let balance = Balance::of(&climate)?;
        Ok(Self {
            climate,
            balance,
            skin_cel: 34.1,
            core_cel: 36.8,
            equilibrium_cel: 36.8,
            rectal_cel: 36.8,
            skin_weight: 0.3,
            sweat_wpm2: 0.0,
            lost_wpm2_min: 0.0,
        })
    }

    /// Rectal temperature, Cel: what a swallowed pill reads, to a tenth or two.
    pub fn rectal_cel(&self) -> f64 {
        self.rectal_cel
    }

    /// Water lost so far, g: no sensor reads it, but the standard publishes it.
    #[cfg(test)]
    fn water_loss_g(&self) -> f64 {
        self.lost_wpm2_min * 2.67 * surface_m2() / 1.8 / 60.0
    }

    /// One more minute.
    pub fn step(&mut self) {
        let (climate, balance) = (&self.climate, &self.balance);
        let metabolic = climate.metabolic_wpm2;
        let (skin_before, core_before, weight_before) = (self.skin_cel, self.core_cel, self.skin_weight);

        // The core that hard work alone would bring, and the heat that takes (8.1).
        let equilibrium = follow(self.equilibrium_cel, 0.0036 * metabolic + 36.6, 10.0);
        let stored_by_work = balance.capacity * (equilibrium - self.equilibrium_cel) * (1.0 - weight_before);
        self.equilibrium_cel = equilibrium;

        self.skin_cel = follow(skin_before, skin_equilibrium(climate, balance.vapour_kpa, self.rectal_cel), 3.0);
        let (convection, radiation) = balance.dry_loss(climate, self.skin_cel);
        let evaporation_max = (saturation_kpa(self.skin_cel) - balance.vapour_kpa) / balance.vapour_resistance;
        let required = (metabolic - stored_by_work - balance.respiration_wpm2 - convection - radiation).max(0.0);

        self.sweat_wpm2 = follow(self.sweat_wpm2, balance.sweat_required(required, evaporation_max), 10.0);
        let evaporated = balance.evaporated(self.sweat_wpm2, evaporation_max);
        let stored = required - evaporated + stored_by_work;

        (self.core_cel, self.skin_weight) =
            core(stored / balance.capacity, skin_before, self.skin_cel, core_before, weight_before);
        self.rectal_cel += (2.0 * self.core_cel - 1.962 * self.rectal_cel - 1.31) / 9.0;
        self.lost_wpm2_min += self.sweat_wpm2 + balance.breathed_vapour(climate);
    }
}

/// Exponential approach with a time constant in minutes, one minute on.
fn follow(from: f64, to: f64, minutes: f64) -> f64 {
    let keep = (-1.0 / minutes).exp();
    from * keep + to * (1.0 - keep)
}

/// Body surface after Du Bois.
fn surface_m2() -> f64 {
    0.202 * WEIGHT_KG.powf(0.425) * HEIGHT_M.powf(0.725)
}

/// Saturated vapour pressure, kPa (annex C).
fn saturation_kpa(cel: f64) -> f64 {
    0.6105 * (17.27 * cel / (cel + 237.3)).exp()
}

/// Skin temperature that belongs to a climate: regressions for the nude and the clothed, between 0.2 and 0.6 clo in
/// proportion (7.5).
fn skin_equilibrium(climate: &Climate, vapour_kpa: f64, rectal_cel: f64) -> f64 {
    let Climate { air_cel, radiant_cel, wind_mps, metabolic_wpm2, clothing_clo, .. } = *climate;
    let nude =
        7.191 + 0.064 * air_cel + 0.061 * radiant_cel + 0.198 * vapour_kpa - 0.348 * wind_mps + 0.616 * rectal_cel;
    let clothed = 12.165 + 0.020_17 * air_cel + 0.043_61 * radiant_cel + 0.193_54 * vapour_kpa - 0.253_15 * wind_mps
        + 0.005_346 * metabolic_wpm2
        + 0.512_74 * rectal_cel;
    nude + (clothed - nude) * ((clothing_clo - 0.2) / 0.4).clamp(0.0, 1.0)
}

/// The core after a minute: mean body temperature rose by `rise`, and the skin's weight in it falls as the core warms.
fn core(rise: f64, skin_before: f64, skin: f64, core_before: f64, weight_before: f64) -> (f64, f64) {
    let mut guess = core_before;
    // Halving converges in a dozen rounds; the bound only guards against numbers that are none.
    for _ in 0..100 {
        let weight = (0.3 - 0.09 * (guess - 36.8)).clamp(0.1, 0.3);
        let body = rise + skin_before * weight_before / 2.0 - skin * weight / 2.0;
        let core = (body + core_before * (1.0 - weight_before / 2.0)) / (1.0 - weight / 2.0);
        if (core - guess).abs() <= 0.001 {
            return (core, weight);
        }
        guess = f64::midpoint(guess, core);
    }
    (guess, weight_before)
}

impl Balance {
    fn of(climate: &Climate) -> Result<Self, OutOfRange> {
        let Climate { air_cel, radiant_cel, humidity_percent, wind_mps, metabolic_wpm2, clothing_clo, .. } = *climate;
        let vapour_kpa = saturation_kpa(air_cel) * humidity_percent / 100.0;
        let ranges = [
            ("air temperature", air_cel, 15.0..=50.0),
            ("radiant above air temperature", radiant_cel - air_cel, 0.0..=60.0),
            ("vapour pressure", vapour_kpa, 0.0..=4.5),
            ("wind", wind_mps, 0.0..=3.0),
            ("metabolic rate", metabolic_wpm2, 100.0..=450.0),
            ("clothing", clothing_clo, 0.1..=1.0),
        ];
        if let Some((name, ..)) = ranges.iter().find(|(_, value, range)| !range.contains(value)) {
            return Err(OutOfRange(name));
        }
        let surface_m2 = surface_m2();
        // Who is not said to walk moves with the work (annex D).
        let walk_mps = (0.0052 * (metabolic_wpm2 - 58.0)).min(0.7);
        let clothed =
            (1.044 * ((0.066 * wind_mps - 0.398) * wind_mps + (0.094 * walk_mps - 0.378) * walk_mps).exp()).min(1.0);
        let still = ((0.047 * wind_mps - 0.472) * wind_mps + (0.117 * walk_mps - 0.342) * walk_mps).exp().min(1.0);
        let total =
            if clothing_clo <= 0.6 { ((0.6 - clothing_clo) * still + clothing_clo * clothed) / 0.6 } else { clothed };
        let area_factor = 1.0 + 0.3 * clothing_clo;
        let boundary = 0.111;
        let insulation = (clothing_clo * 0.155 + boundary / area_factor) * total;
        let permeability = (PERMEABILITY * ((2.6 * total - 6.5) * total + 4.9)).min(0.9);
        let sweat = ((metabolic_wpm2 - 32.0) * surface_m2).clamp(250.0, 400.0);
        let forced = if wind_mps > 1.0 { 8.7 * wind_mps.powf(0.6) } else { 3.5 + 5.2 * wind_mps };
        let expired_cel = 28.56 + 0.115 * air_cel + 0.641 * vapour_kpa;
        let warmed = 0.001_516 * metabolic_wpm2 * (expired_cel - air_cel);
        let mut balance = Self {
            vapour_kpa,
            capacity: 57.83 * WEIGHT_KG / surface_m2,
            sweat_wpm2_max: if climate.acclimatised { sweat * 1.25 } else { sweat },
            wettedness_max: if climate.acclimatised { 1.0 } else { 0.85 },
            area_factor,
            clothing_dynamic: insulation - still * boundary / area_factor,
            vapour_resistance: insulation / permeability / 16.7,
            respiration_wpm2: warmed,
            convection: (2.38 * (34.1 - air_cel).abs().powf(0.25)).max(forced),
            radiation_factor: ((1.0 - COVERED) * 0.97 + COVERED * EMISSIVITY)
                * 5.67e-8
                * if climate.standing { 0.77 } else { 0.7 },
        };
        balance.respiration_wpm2 += balance.breathed_vapour(climate);
        Ok(balance)
    }

    /// Latent heat of breathing, W/m2.
    fn breathed_vapour(&self, climate: &Climate) -> f64 {
        0.001_27 * climate.metabolic_wpm2 * (59.34 + 0.53 * climate.air_cel - 11.63 * self.vapour_kpa)
    }

    /// Convection and radiation from the clothing, whose temperature balances both sides (annex C).
    fn dry_loss(&self, climate: &Climate, skin_cel: f64) -> (f64, f64) {
        let (air, radiant) = (climate.air_cel, climate.radiant_cel);
        let mut clothing = radiant + 0.1;
        let mut radiation = 0.0;
        for _ in 0..100 {
            radiation =
                self.radiation_factor * ((clothing + 273.0).powi(4) - (radiant + 273.0).powi(4)) / (clothing - radiant);
            let outside = self.area_factor * (self.convection + radiation);
            let warmth =
                self.area_factor * (self.convection * air + radiation * radiant) + skin_cel / self.clothing_dynamic;
            let next = warmth / (outside + 1.0 / self.clothing_dynamic);
            if (next - clothing).abs() <= 0.001 {
                break;
            }
            clothing = f64::midpoint(clothing, next);
        }
        let factor = self.area_factor;
        (factor * self.convection * (clothing - air), factor * radiation * (clothing - radiant))
    }

    /// Sweat that would keep the balance; much of it drips off when the skin is nearly all wet (8.2).
    fn sweat_required(&self, required: f64, evaporation_max: f64) -> f64 {
        if required <= 0.0 {
            return 0.0;
        }
        let wettedness = required / evaporation_max;
        if evaporation_max <= 0.0 || wettedness >= 1.7 {
            return self.sweat_wpm2_max;
        }
        let efficiency =
            if wettedness > 1.0 { (2.0 - wettedness).powi(2) / 2.0 } else { 1.0 - wettedness.powi(2) / 2.0 };
        (required / efficiency.max(0.05)).min(self.sweat_wpm2_max)
    }

    /// What of the sweat evaporates.
    fn evaporated(&self, sweat: f64, evaporation_max: f64) -> f64 {
        if sweat <= 0.0 {
            return 0.0;
        }
        let ratio = evaporation_max / sweat;
        let wettedness = if ratio >= 0.5 { -ratio + (ratio * ratio + 2.0).sqrt() } else { 1.0 };
        wettedness.min(self.wettedness_max) * evaporation_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Example {
        air: f64,
        radiant: f64,
        vapour_kpa: f64,
        wind: f64,
        metabolic: f64,
        clo: f64,
        acclimatised: bool,
        standing: bool,
        /// Published: rectal temperature after 8 h, minutes to 38 Cel (480: never), water lost in 8 h.
        rectal: f64,
        minutes: u32,
        water: f64,
    }

    /// The examples of ISO 7933:2004, annex F, 1 to 8 (9 and 10 differ in walking speed only), 480 minutes each.
    const EXAMPLES: [Example; 9] = [
        example(40.0, 40.0, 2.5, 0.3, 150.0, 0.5, true, true, 37.5, 480, 6_168.0),
        example(35.0, 35.0, 4.0, 0.3, 150.0, 0.5, true, true, 39.8, 74, 6_935.0),
        example(30.0, 50.0, 3.0, 0.3, 150.0, 0.5, true, true, 37.7, 480, 7_166.0),
        example(28.0, 58.0, 3.0, 0.3, 150.0, 0.5, false, true, 41.2, 57, 5_807.0),
        example(35.0, 35.0, 3.0, 1.0, 150.0, 0.5, false, false, 37.6, 480, 3_892.0),
        example(43.0, 43.0, 3.0, 0.3, 103.0, 0.5, true, false, 37.3, 480, 6_763.0),
        example(35.0, 35.0, 3.0, 0.3, 206.0, 0.5, false, true, 39.2, 70, 7_236.0),
        example(34.0, 34.0, 3.0, 0.3, 150.0, 1.0, false, true, 41.0, 67, 5_548.0),
        example(40.0, 40.0, 3.0, 0.3, 150.0, 0.4, true, true, 37.5, 480, 6_684.0),
    ];

    #[allow(clippy::too_many_arguments)]
    const fn example(
        air: f64,
        radiant: f64,
        vapour_kpa: f64,
        wind: f64,
        metabolic: f64,
        clo: f64,
        acclimatised: bool,
        standing: bool,
        rectal: f64,
        minutes: u32,
        water: f64,
    ) -> Example {
        Example { air, radiant, vapour_kpa, wind, metabolic, clo, acclimatised, standing, rectal, minutes, water }
    }

    #[test]
    fn the_model_gives_the_published_figures_of_iso_7933() {
        for (number, example) in EXAMPLES.iter().enumerate() {
            let climate = Climate {
                air_cel: example.air,
                radiant_cel: example.radiant,
                humidity_percent: example.vapour_kpa / saturation_kpa(example.air) * 100.0,
                wind_mps: example.wind,
                metabolic_wpm2: example.metabolic,
                clothing_clo: example.clo,
                acclimatised: example.acclimatised,
                standing: example.standing,
            };
            let mut athlete = Athlete::new(climate).unwrap();
            let mut to_38 = 480u32;
            for minute in 1..=480 {
                athlete.step();
                if to_38 == 480 && athlete.rectal_cel() >= 38.0 {
                    to_38 = minute;
                }
            }
            let (rectal, water) = (athlete.rectal_cel(), athlete.water_loss_g());
            assert!((rectal - example.rectal).abs() < 0.1, "{number}: {rectal} Cel, published {}", example.rectal);
            assert!(
                (water - example.water).abs() < 0.005 * example.water,
                "{number}: {water} g, published {}",
                example.water
            );
            assert!(to_38.abs_diff(example.minutes) <= 1, "{number}: {to_38} min, published {}", example.minutes);
        }
    }

    #[test]
    fn what_the_standard_does_not_cover_is_refused() {
        let climate = Climate {
            air_cel: 35.0,
            radiant_cel: 45.0,
            humidity_percent: 60.0,
            wind_mps: 1.0,
            metabolic_wpm2: 420.0,
            clothing_clo: 0.4,
            acclimatised: false,
            standing: true,
        };
        assert!(Athlete::new(climate).is_ok());
        assert!(Athlete::new(Climate { metabolic_wpm2: 600.0, ..climate }).is_err());
        assert!(Athlete::new(Climate { air_cel: f64::NAN, ..climate }).is_err());
        assert!(Athlete::new(Climate { humidity_percent: 100.0, ..climate }).is_err());
    }
}
