// See README.md.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

public final class Catalog {
    private static final int BLOCK = 4096;
    private static final int MIB = 1 << 20;
    private static final int ROUNDS_A_SECOND = 100;
    /** Calls after which the just-in-time compiler has compiled a method, every branch of which must have been taken by then. */
    private static final int WARM = 6_000;

    private static final List<byte[]> kept = new ArrayList<>();

    /** Pauses of so many milliseconds; negative for none. */
    private record Work(long bytes, boolean keeps, int pause) {
        void pauseAfter(long done) {
            if (pause >= 0 && done % (MIB / 4) == 0) sleep(pause);
        }

        void settle(List<byte[]> blocks) {
            if (keeps) kept.addAll(blocks);
        }
    }

    private static void sleep(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void parseJson(Work work) {
        List<byte[]> blocks = new ArrayList<>();
        for (long done = 0; done < work.bytes; done += BLOCK) {
            byte[] text = new byte[BLOCK];
            Arrays.fill(text, (byte) '{');
            blocks.add(text);
            work.pauseAfter(done);
        }
        work.settle(blocks);
    }

    private static void buildIndex(Work work) {
        List<byte[]> blocks = new ArrayList<>();
        for (long done = 0; done < work.bytes; done += BLOCK) {
            byte[] text = new byte[BLOCK];
            Arrays.fill(text, (byte) '#');
            blocks.add(text);
            work.pauseAfter(done);
        }
        work.settle(blocks);
    }

    private static void fillCache(Work work) {
        List<byte[]> blocks = new ArrayList<>();
        for (long done = 0; done < work.bytes; done += BLOCK) {
            byte[] text = new byte[BLOCK];
            Arrays.fill(text, (byte) '=');
            blocks.add(text);
            work.pauseAfter(done);
        }
        work.settle(blocks);
    }

    private static void run(String function, Work work) {
        switch (function) {
            case "parseJson" -> parseJson(work);
            case "buildIndex" -> buildIndex(work);
            case "fillCache" -> fillCache(work);
            default -> throw new IllegalArgumentException(function);
        }
    }

    private static final String[] FUNCTIONS = {"parseJson", "buildIndex", "fillCache"};

    private static boolean loadCatalog(String name, long bytes, boolean leaks) {
        boolean found = false;
        for (String function : FUNCTIONS) {
            boolean chosen = function.equals(name);
            if (chosen || leaks) run(function, new Work(chosen ? bytes : 2 * bytes, chosen, leaks ? -1 : 2));
            found |= chosen;
        }
        return found;
    }

    private static int serve(String mode, String name, long mib, long seconds) {
        if (mode.equals("grow")) return loadCatalog(name, mib * MIB, false) ? 3 : 2;
        for (long round = 0; round < seconds * ROUNDS_A_SECOND; round++) {
            if (!loadCatalog(name, mib * MIB / ROUNDS_A_SECOND, true)) return 2;
            sleep(1000 / ROUNDS_A_SECOND);
        }
        return 0;
    }

    public static void main(String[] args) throws IOException {
        for (int call = 0; call < WARM; call++) {
            for (String function : FUNCTIONS) run(function, new Work(3 * BLOCK, false, 0));
        }
        System.out.println("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        if (!"go".equals(in.readLine())) System.exit(2);
        System.exit(serve(args[0], args[1], Long.parseLong(args[2]), args.length > 3 ? Long.parseLong(args[3]) : 0));
    }
}
