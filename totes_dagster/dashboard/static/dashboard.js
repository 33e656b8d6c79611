// Draws the charts of a page, and follows the warehouse: a newer page replaces the one that is shown.
// Expressions are interpreted (`ast`), so that no code is made of text.
"use strict";

(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const views = new Map();

    // Okabe and Ito's colours, which people with any kind of colour vision can tell apart; lighter ones in the dark.
    const PALETTES = {
        light: ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f8a99"],
        dark: ["#56b4e9", "#f0b429", "#2fbf94", "#e29ac3", "#b9a3ff", "#f08a4b", "#8793a3"],
    };

    function theme() {
        const style = getComputedStyle(document.documentElement);
        const value = (name) => style.getPropertyValue(name).trim();
        const palette = PALETTES[dark.matches ? "dark" : "light"];
        const font = getComputedStyle(document.body).fontFamily;
        const quiet = value("--quiet");
        return {
            background: "transparent",
            font,
            view: {stroke: null},
            axis: {
                labelColor: quiet, titleColor: quiet, domainColor: value("--line"), tickColor: value("--line"),
                gridColor: value("--line"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal",
                labelLimit: innerWidth < 600 ? 100 : 220, labelPadding: 6, grid: false,
            },
            axisY: {ticks: false, domain: false},
            axisQuantitative: {grid: true, domain: false, ticks: false},
            axisXQuantitative: {tickCount: innerWidth < 600 ? 3 : 6},
            legend: {
                orient: "top", direction: "horizontal", title: null, labelColor: value("--text"),
                titleColor: quiet, titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 12, labelLimit: 260,
                columns: innerWidth < 600 ? 1 : 0, symbolType: "square",
            },
            range: {
                category: palette,
                heatmap: dark.matches ? ["#1b2a38", "#56b4e9", "#e8f5ff"] : ["#eaf3fa", "#56a5d8", "#08306b"],
                ordinal: dark.matches ? ["#1f5f8b", "#1c4c6d", "#183b52"] : ["#9ccbe8", "#c2dff1", "#dcecf7"],
            },
            bar: {color: palette[0], continuousBandSize: 12}, line: {color: palette[0], strokeWidth: 2},
            point: {color: palette[0]}, rule: {color: palette[0]}, rect: {},
            text: {color: value("--text"), fontSize: 12},
        };
    }

    // On a narrow screen, the names of bars stand above them, and not beside them.
    function fitted(spec) {
        const categories = spec.usermeta?.categories;
        if (!categories || innerWidth >= 600) return spec;
        const step = spec.height / categories + 20;
        const bars = (step - 20) / step;
        for (const {encoding} of spec.layer) {
            encoding.y.scale = {paddingInner: 1 - bars, paddingOuter: (1 - bars) / 2};
            encoding.y.axis = {
                title: null, labelAlign: "left", labelPadding: 0, labelBaseline: "bottom", labelLimit: 260,
                labelOffset: -step * bars / 2 - 1,
            };
        }
        return {...spec, height: step * categories + 8, padding: {...spec.padding, right: Math.min(spec.padding.right, 60)}};
    }

    async function draw(place) {
        const spec = fitted(JSON.parse(document.getElementById(`${place.id}-spec`).textContent));
        views.get(place.id)?.finalize();
        const result = await vegaEmbed(place, spec, {
            ast: true, actions: false, renderer: "svg", mode: "vega-lite", config: theme(), defaultStyle: false,
            tooltip: {disableDefaultStyle: true},
            loader: {load: () => Promise.reject(new Error("Charts load nothing."))},
        });
        views.set(place.id, result);
    }

    async function drawAll() {
        document.body.removeAttribute("data-drawn");
        await Promise.all([...document.querySelectorAll(".chart")].map(draw));
        document.body.dataset.drawn = document.getElementById("main").dataset.version ?? "yes";
    }

    function tellAges() {
        if (!document.getElementById("main").dataset.version) return;
        const time = document.querySelector("#status time");
        const age = document.querySelector("#status .age");
        if (!time || !age) return;
        const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
        const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]
            .find(([size]) => seconds >= 2 * size) ?? [1, "second"];
        age.textContent = ` · ${new Intl.RelativeTimeFormat("en").format(-Math.floor(seconds / size), unit)}`;
    }

    // What filters can be set to may have grown; what is chosen in them, and not yet applied, stays.
    function offer(newer) {
        for (const select of document.querySelectorAll(".filters select")) {
            const known = new Set([...select.options].map((option) => option.value));
            const fresh = newer.querySelector(`.filters select[name="${select.name}"]`)?.options ?? [];
            for (const option of [...fresh]) if (!known.has(option.value)) select.append(option);
        }
    }

    // Replaces what is shown by the page as it is now. Open details stay open, and the focus stays where it is.
    async function replace() {
        const answer = await fetch(location.href, {cache: "no-store"});
        if (!answer.ok) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const newer = page.getElementById("main");
        const status = page.getElementById("status");
        if (!newer || !status) return;
        const main = document.getElementById("main");
        for (const name of ["notices", "figures"]) {
            main.querySelector(`.${name}`).replaceWith(newer.querySelector(`.${name}`));
        }
        const open = new Set([...main.querySelectorAll(".question details")].map((it) => (it.open ? keyOf(it) : null)));
        const focused = document.activeElement;
        const kept = main.contains(focused) && focused.closest(".question") ? pathOf(focused) : null;
        for (const it of newer.querySelectorAll(".question details")) it.open = open.has(keyOf(it));
        for (const section of newer.querySelectorAll(".question")) {
            const old = document.getElementById(section.id);
            const chart = old.querySelector(".chart");
            if (chart) section.style.minHeight = `${old.offsetHeight}px`;
            old.replaceWith(section);
        }
        offer(newer);
        document.getElementById("status").replaceWith(status);
        main.dataset.version = newer.dataset.version;
        if (kept) document.querySelector(kept)?.focus();
        tellAges();
        await drawAll();
        for (const section of main.querySelectorAll(".question")) section.style.minHeight = "";
    }

    const keyOf = (details) => `${details.closest(".question").id}/${details.querySelector("summary").textContent.split(" ")[0]}`;

    function pathOf(it) {
        const section = it.closest(".question");
        const index = [...section.querySelectorAll("summary, a, [tabindex]")].indexOf(it);
        if (index < 0) return null;
        const kind = it.tagName.toLowerCase();
        const order = [...section.querySelectorAll(kind)].indexOf(it);
        it.dataset.order = order;
        return kind === "a" ? `#${section.id} a.download` : `#${section.id} details:nth-of-type(${order + 1}) ${kind}`;
    }

    function follow() {
        const main = document.getElementById("main");
        const {page, version} = main.dataset;
        if (!page || !version) return;
        const query = new URLSearchParams(location.search);
        query.set("page", page);
        query.set("version", version);
        const events = new EventSource(`events?${query}`);
        let waiting = Promise.resolve();
        events.addEventListener("batch", (event) => {
            const {version} = JSON.parse(event.data);
            waiting = waiting.then(() => (main.dataset.version === version ? undefined : replace()))
                .catch((error) => console.error(error));
        });
        addEventListener("pagehide", () => events.close());
    }

    async function start() {
        document.body.classList.add("has-script");
        tellAges();
        setInterval(tellAges, 10_000);
        follow();
        dark.addEventListener("change", drawAll);
        await drawAll();
    }

    start().catch((error) => console.error(error));
})();
